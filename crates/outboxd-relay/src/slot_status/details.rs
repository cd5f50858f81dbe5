//! The row of `pg_replication_slots`, with more of it than the gate looks at.

use outboxd_core::lsn::Lsn;
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::catalog::{server, slot};
use crate::control::{ControlError, ControlSession, ServerVersion};

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SlotDetails {
    pub plugin: Option<String>,
    pub database: Option<String>,
    /// The server process that streams from it.
    pub active_pid: Option<i32>,
    pub confirmed: Option<Lsn>,
    /// From here on the server keeps its log.
    pub restart_lsn: Option<Lsn>,
    pub wal_status: Option<String>,
    pub retained_wal_bytes: Option<i64>,
    /// How much more may be written before it is lost; `None`: without limit.
    pub safe_wal_bytes: Option<i64>,
    /// Why it cannot be used any more.
    pub lost: Option<String>,
    /// Standbys have it too, from 17 on.
    pub failover: Option<bool>,
    /// It was made by synchronisation from a primary, from 17 on.
    pub synced: Option<bool>,
}

pub(super) async fn read(
    control: &ControlSession,
    name: &str,
) -> Result<Option<SlotDetails>, ControlError> {
    let Some(slot) = slot::read(control, name).await? else { return Ok(None) };
    let rows = control.rows(query(control.version()), &[(&name, Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let restart_lsn: Option<&str> = row.try_get("restart_lsn")?;
    Ok(Some(SlotDetails {
        plugin: slot.plugin,
        database: slot.database,
        active_pid: slot.active_pid,
        confirmed: slot.confirmed,
        restart_lsn: restart_lsn.map(server::parse_lsn).transpose()?,
        wal_status: slot.wal_status,
        retained_wal_bytes: slot.retained_wal_bytes,
        safe_wal_bytes: slot.safe_wal_bytes,
        lost: slot.lost,
        failover: row.try_get("failover")?,
        synced: row.try_get("synced")?,
    }))
}

fn query(version: ServerVersion) -> &'static str {
    if version.major() >= 17 {
        "select restart_lsn::text as restart_lsn, failover, synced
           from pg_replication_slots where slot_name = $1"
    } else {
        "select restart_lsn::text as restart_lsn, null::bool as failover, null::bool as synced
           from pg_replication_slots where slot_name = $1"
    }
}
