//! The rows of the inbox, one round trip for each statement.

use std::time::{Duration, SystemTime};

use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::decision::{Known, State};
use super::header_json;
use super::options::Inbox;
use super::outcome::InboxError;
use crate::message::Message;

/// A row to be written for a message that is not through.
pub(super) struct Unfinished<'a> {
    pub(super) state: State,
    pub(super) attempts: u32,
    pub(super) delay: Option<Duration>,
    pub(super) error: Option<&'a str>,
    /// The row is ours whatever it says, because this transaction has claimed it.
    pub(super) claimed: bool,
}

pub(super) struct Row {
    pub(super) known: Known,
    pub(super) next_attempt_at: Option<SystemTime>,
}

impl Inbox {
    /// Notes a message that was never seen as handled; false when it was seen.
    pub(super) async fn is_new(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
    ) -> Result<bool, InboxError> {
        if self.sequence_of(message).is_some() {
            return self.advance(tx, message).await;
        }
        let inserted = tx
            .execute_typed(
                &self.statements.insert_completed,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&message.topic, Type::TEXT),
                    (&message.partition, Type::INT4),
                    (&message.offset, Type::INT8),
                ],
            )
            .await?;
        Ok(inserted > 0)
    }

    /// Moves the watermark to a message; false when it lies behind already, or is told by its id.
    pub(super) async fn advance(
        &self,
        tx: &Transaction<'_>,
        message: &Message,
    ) -> Result<bool, InboxError> {
        let Some(sequence) = self.sequence_of(message) else { return Ok(false) };
        let advanced = tx
            .execute_typed(
                &self.statements.advance_watermark,
                &[
                    (&self.consumer, Type::TEXT),
                    (&message.topic, Type::TEXT),
                    (&message.partition, Type::INT4),
                    (&sequence, Type::TEXT),
                ],
            )
            .await?;
        Ok(advanced > 0)
    }

    /// When those of its key that come first may be tried again; `None` when there are none.
    pub(super) async fn behind_until(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
    ) -> Result<Option<SystemTime>, InboxError> {
        let Some(key) = self.order_of(message) else { return Ok(None) };
        let rows = tx
            .query_typed(
                &self.statements.is_behind,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&message.topic, Type::TEXT),
                    (&key, Type::BYTEA),
                ],
            )
            .await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.flatten())
    }

    pub(super) async fn look_up(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
    ) -> Result<Option<Row>, InboxError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.consumer, Type::TEXT), (&id, Type::UUID)];
        let rows = tx.query_typed(&self.statements.look_up, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let state = State::parse(row.try_get("state")?).ok_or(InboxError::Unreadable(id))?;
        let attempts: i32 = row.try_get("attempts")?;
        let known = Known {
            state,
            attempts: u32::try_from(attempts).unwrap_or_default(),
            due: row.try_get("due")?,
            behind: false,
        };
        Ok(Some(Row { known, next_attempt_at: row.try_get("next_attempt_at")? }))
    }

    pub(super) async fn complete(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        attempt: u32,
    ) -> Result<(), InboxError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.consumer, Type::TEXT), (&id, Type::UUID), (&integer(attempt), Type::INT4)];
        tx.execute_typed(&self.statements.complete, &parameters).await?;
        Ok(())
    }

    /// Completes what an earlier transaction of the same process has begun; false when somebody
    /// else has begun it again since.
    pub(super) async fn complete_begun(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        state: State,
        attempt: u32,
    ) -> Result<bool, InboxError> {
        let completed = tx
            .execute_typed(
                &self.statements.complete_begun,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&state.as_str(), Type::TEXT),
                    (&integer(attempt), Type::INT4),
                ],
            )
            .await?;
        Ok(completed > 0)
    }

    /// Writes a row; `None` when what is there says more. Otherwise the time that it has.
    pub(super) async fn write(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
        row: &Unfinished<'_>,
    ) -> Result<Option<Option<SystemTime>>, InboxError> {
        let headers = header_json::to_json(&message.headers);
        let rows = tx
            .query_typed(
                &self.statements.write,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&row.state.as_str(), Type::TEXT),
                    (&integer(row.attempts), Type::INT4),
                    (&row.delay.map(|delay| delay.as_secs_f64()), Type::FLOAT8),
                    (&message.topic, Type::TEXT),
                    (&message.partition, Type::INT4),
                    (&message.offset, Type::INT8),
                    (&row.error, Type::TEXT),
                    (&message.value, Type::BYTEA),
                    (&headers, Type::JSONB),
                    (&message.key, Type::BYTEA),
                    (&message.timestamp_ms.and_then(time_of), Type::TIMESTAMPTZ),
                    (&row.claimed, Type::BOOL),
                ],
            )
            .await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }
}

fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// `None` where Postgres, too, would have to give up.
fn time_of(milliseconds: i64) -> Option<SystemTime> {
    let milliseconds = u64::try_from(milliseconds).ok().filter(|&value| value < YEAR_9999_MS)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

const YEAR_9999_MS: u64 = 253_370_764_800_000;
