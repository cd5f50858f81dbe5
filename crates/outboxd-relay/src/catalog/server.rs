//! Settings of the server that decide whether logical replication can work at all.

use std::time::Duration;

use outboxd_core::lsn::Lsn;
use outboxd_core::stop::{Code, Stop};

use crate::control::{ControlError, ControlSession};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    pub wal_level: String,
    /// A wait for an advisory lock that stays below this writes no line to the server's log.
    pub deadlock_timeout: Duration,
    /// The server is a standby.
    pub in_recovery: bool,
}

impl Settings {
    pub async fn read(session: &ControlSession) -> Result<Self, ControlError> {
        let row = session.row(SETTINGS, &[]).await?;
        let deadlock_timeout_ms: i64 = row.try_get("deadlock_timeout_ms")?;
        Ok(Self {
            wal_level: row.try_get("wal_level")?,
            deadlock_timeout: Duration::from_millis(deadlock_timeout_ms.unsigned_abs()),
            in_recovery: row.try_get("in_recovery")?,
        })
    }

    pub fn check_wal_level(&self) -> Result<(), Stop> {
        if self.wal_level == "logical" {
            return Ok(());
        }
        Err(Stop::new(Code::WalLevel, "the server does not write what logical replication needs")
            .detail(format!("wal_level is {}, it has to be logical", self.wal_level))
            .hint(
                "alter system set wal_level = logical; then restart the server \
                 (a managed service has a parameter of its own, such as rds.logical_replication)",
            ))
    }
}

/// Where the write-ahead log ends, which is where a relay without lag would be.
pub async fn wal_end(session: &ControlSession) -> Result<Lsn, ControlError> {
    let row = session.row(&format!("select ({WAL_END})::text"), &[]).await?;
    parse_lsn(row.try_get(0)?)
}

pub(crate) fn parse_lsn(text: &str) -> Result<Lsn, ControlError> {
    let error =
        |error: outboxd_core::lsn::ParseLsnError| Stop::new(Code::Internal, error.to_string());
    Ok(text.parse().map_err(error)?)
}

/// A standby has no insert position of its own.
pub(super) const WAL_END: &str = "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() \
                                  else pg_current_wal_lsn() end";

const SETTINGS: &str = "
    select current_setting('wal_level') as wal_level,
           (select setting::int8 from pg_settings where name = 'deadlock_timeout')
               as deadlock_timeout_ms,
           pg_is_in_recovery() as in_recovery";
