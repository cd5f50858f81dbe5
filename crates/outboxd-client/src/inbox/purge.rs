//! Forgetting old messages, and making room for the coming ones.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::options::Inbox;
use super::outcome::InboxError;

/// What a purge has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub leaves_emptied: i32,
    pub leaves_dropped: i32,
    pub rows_deleted: i64,
}

impl Inbox {
    /// Forgets completed messages that are older than that, a day at least: in [`Self::window`]
    /// most of them. What is not through is kept. All consumers of the schema are concerned.
    pub async fn purge(&self, client: &Client, older_than: Duration) -> Result<Purged, InboxError> {
        let seconds = older_than.as_secs_f64();
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&seconds, Type::FLOAT8)];
        let rows = client.query_typed(&self.statements.purge, &parameters).await?;
        let row = rows.first().ok_or(InboxError::Unreadable(Uuid::nil()))?;
        Ok(Purged {
            leaves_emptied: row.try_get(0)?,
            leaves_dropped: row.try_get(1)?,
            rows_deleted: row.try_get(2)?,
        })
    }

    /// Makes the leaves of the coming days; how many there were to make. Without them everything
    /// goes on, but old messages are deleted one by one.
    pub async fn maintain(&self, client: &Client) -> Result<i32, InboxError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&DAYS_AHEAD, Type::INT4)];
        let rows = client.query_typed(&self.statements.maintain, &parameters).await?;
        Ok(rows.first().ok_or(InboxError::Unreadable(Uuid::nil()))?.try_get(0)?)
    }
}

const DAYS_AHEAD: i32 = 3;
