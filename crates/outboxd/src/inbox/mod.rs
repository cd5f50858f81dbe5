//! What an operator sees of an inbox, and does with the messages that its consumer could not handle.
//!
//! Everything is a change of rows that the consumer reads anyway: a retried message is one that is
//! due, a discarded one is completed. Nothing is read of what messages say unless it is asked for,
//! so a login of `outbox_operator` serves.

mod sql;

use std::time::Duration;

use outboxd_relay::control::{ControlError, ControlSession, Parameter};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The inbox of one database.
pub(crate) struct Operator<'a> {
    pub(crate) session: &'a ControlSession,
    /// Who asks, for the record.
    pub(crate) by: &'a str,
}

/// Which messages that are not completed. Empty: all of them.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) consumer: Option<String>,
    pub(crate) ids: Vec<String>,
    pub(crate) topic: Option<String>,
    /// As the column has it, in capitals.
    pub(crate) state: Option<String>,
}

/// One message, without what it says.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) consumer: String,
    pub(crate) message_id: String,
    pub(crate) state: String,
    pub(crate) attempts: i32,
    pub(crate) next_attempt_at: Option<String>,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) last_error: Option<String>,
    pub(crate) first_seen_at: String,
    pub(crate) completed_at: Option<String>,
    pub(crate) resolved_by: Option<String>,
}

/// What a message says.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Value,
    pub(crate) payload: Option<Vec<u8>>,
}

/// How one consumer does.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    pub(crate) consumer: String,
    pub(crate) completed: i64,
    pub(crate) processing: i64,
    pub(crate) failed: i64,
    pub(crate) dead: i64,
    /// Of the failed ones, those that may be tried now.
    pub(crate) due: i64,
    pub(crate) oldest_failed_at: Option<String>,
    pub(crate) next_attempt_at: Option<String>,
}

/// What a purge did.
#[derive(Debug, Serialize)]
pub(crate) struct Purged {
    pub(crate) leaves_emptied: i32,
    pub(crate) leaves_dropped: i32,
    pub(crate) rows_deleted: i64,
}

impl Operator<'_> {
    /// In the order in which they were first seen.
    pub(crate) async fn list(
        &self,
        selection: &Selection,
        limit: i64,
    ) -> Result<Vec<Entry>, ControlError> {
        let rows = self.select(&sql::list(), selection, &[(&limit, Type::INT8)]).await?;
        rows.iter().map(entry).collect()
    }

    /// Every message with this id, completed ones as well: each consumer has its own.
    pub(crate) async fn show(
        &self,
        consumer: Option<&str>,
        id: &str,
    ) -> Result<Vec<Entry>, ControlError> {
        let parameters = [(&consumer as _, Type::TEXT), (&id as _, Type::TEXT)];
        let rows = self.session.rows(&sql::show(), &parameters).await?;
        rows.iter().map(entry).collect()
    }

    /// Takes the right to read what messages say.
    pub(crate) async fn content(&self, consumer: &str, id: &str) -> Result<Content, ControlError> {
        let parameters = [(&consumer as _, Type::TEXT), (&id as _, Type::TEXT)];
        let row = self.session.row(sql::CONTENT, &parameters).await?;
        let headers: Option<&str> = row.try_get("headers")?;
        Ok(Content {
            key: row.try_get("key")?,
            headers: headers.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
            payload: row.try_get("payload")?,
        })
    }

    /// Makes messages due, with all their attempts before them. Gives what it changed.
    pub(crate) async fn retry(&self, selection: &Selection) -> Result<Vec<Entry>, ControlError> {
        self.change(&sql::retry(), selection).await
    }

    /// Gives messages up: completed, without an effect. Gives what it changed.
    pub(crate) async fn discard(&self, selection: &Selection) -> Result<Vec<Entry>, ControlError> {
        self.change(&sql::discard(), selection).await
    }

    pub(crate) async fn stats(&self, consumer: Option<&str>) -> Result<Vec<Stats>, ControlError> {
        let rows = self.session.rows(sql::STATS, &[(&consumer as _, Type::TEXT)]).await?;
        rows.iter().map(stats).collect()
    }

    /// Forgets messages that are older; those that are not completed only when told to.
    pub(crate) async fn purge(
        &self,
        older_than: Duration,
        unresolved: bool,
    ) -> Result<Purged, ControlError> {
        let function = if unresolved { sql::PURGE_UNRESOLVED } else { sql::PURGE };
        let row = self.session.row(function, &[(&older_than.as_secs_f64(), Type::FLOAT8)]).await?;
        Ok(Purged {
            leaves_emptied: row.try_get("leaves_emptied")?,
            leaves_dropped: row.try_get("leaves_dropped")?,
            rows_deleted: row.try_get("rows_deleted")?,
        })
    }

    async fn change(&self, sql: &str, selection: &Selection) -> Result<Vec<Entry>, ControlError> {
        let rows = self.select(sql, selection, &[(&self.by, Type::TEXT)]).await?;
        rows.iter().map(entry).collect()
    }

    async fn select(
        &self,
        sql: &str,
        selection: &Selection,
        more: &[Parameter<'_>],
    ) -> Result<Vec<Row>, ControlError> {
        let Selection { consumer, ids, topic, state } = selection;
        let mut parameters: Vec<Parameter<'_>> = vec![
            (consumer, Type::TEXT),
            (ids, Type::TEXT_ARRAY),
            (topic, Type::TEXT),
            (state, Type::TEXT),
        ];
        parameters.extend_from_slice(more);
        self.session.rows(sql, &parameters).await
    }
}

fn entry(row: &Row) -> Result<Entry, ControlError> {
    Ok(Entry {
        consumer: row.try_get("consumer")?,
        message_id: row.try_get("message_id")?,
        state: row.try_get("state")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        last_error: row.try_get("last_error")?,
        first_seen_at: row.try_get("first_seen_at")?,
        completed_at: row.try_get("completed_at")?,
        resolved_by: row.try_get("resolved_by")?,
    })
}

fn stats(row: &Row) -> Result<Stats, ControlError> {
    Ok(Stats {
        consumer: row.try_get("consumer")?,
        completed: row.try_get("completed")?,
        processing: row.try_get("processing")?,
        failed: row.try_get("failed")?,
        dead: row.try_get("dead")?,
        due: row.try_get("due")?,
        oldest_failed_at: row.try_get("oldest_failed_at")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
    })
}
