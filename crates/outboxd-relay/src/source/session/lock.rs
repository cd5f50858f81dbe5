//! The advisory lock that makes one relay the active one.
//!
//! It is taken on the walsender session itself, so it lives exactly as long as the stream can.

use std::time::Duration;

use super::super::error::{ProtocolError, SourceError};
use super::super::frame::Row;
use super::super::quote;
use super::ReplicationSession;

impl ReplicationSession {
    /// Takes the lock of this relay name unless another session holds it.
    pub async fn try_lock(&mut self, name: &str) -> Result<bool, SourceError> {
        let rows = self.simple_query(&try_lock_sql(name)).await?;
        is_locked(&rows)
    }

    /// Waits for the lock inside the server, for at most `slice`. Returns within milliseconds of
    /// the other session's end.
    ///
    /// The time-out is caught in the server, so that waiting writes no error to its log. Asking
    /// once more afterwards answers whether the lock is ours: a session may hold it twice.
    pub async fn lock_slice(&mut self, name: &str, slice: Duration) -> Result<bool, SourceError> {
        // 0 would mean no limit.
        let slice_ms = slice.as_millis().max(1);
        let wait = format!(
            "begin set local lock_timeout = {slice_ms}; perform pg_advisory_lock({key}); \
             exception when lock_not_available then null; end",
            key = key_sql(name),
        );
        let sql =
            format!("do {wait}; {ask}", wait = quote::literal(&wait), ask = try_lock_sql(name));
        let rows = self.query_within(slice + self.patience, &sql).await?;
        is_locked(&rows)
    }

    /// How long a wait may last: below `deadlock_timeout`, at which the server would log it, and
    /// short enough that the waiter's snapshot does not hold back vacuum.
    pub async fn lock_wait_slice(&mut self) -> Result<Duration, SourceError> {
        let sql = "select setting from pg_settings where name = 'deadlock_timeout'";
        let rows = self.simple_query(sql).await?;
        let setting = rows.first().and_then(|row| row.text(0));
        let deadlock_timeout_ms: u64 = setting
            .and_then(|setting| setting.parse().ok())
            .ok_or(ProtocolError::Answer("deadlock_timeout"))?;
        Ok(Duration::from_millis(deadlock_timeout_ms).mul_f64(0.8))
    }
}

fn is_locked(rows: &[Row]) -> Result<bool, SourceError> {
    match rows.first().and_then(|row| row.text(0)) {
        Some("t") => Ok(true),
        Some("f") => Ok(false),
        _ => Err(ProtocolError::Answer("pg_try_advisory_lock").into()),
    }
}

fn try_lock_sql(name: &str) -> String {
    format!("select pg_try_advisory_lock({})", key_sql(name))
}

fn key_sql(name: &str) -> String {
    format!("hashtextextended('outboxd:' || {}, 0)", quote::literal(name))
}
