//! The replication slot.

use outboxd_core::gate::Slot;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::server::{WAL_END, parse_lsn};
use crate::control::{ControlError, ControlSession, ServerVersion};

/// The slot of this name; `None` when there is none.
pub async fn read(session: &ControlSession, name: &str) -> Result<Option<Slot>, ControlError> {
    let sql = query(session.version());
    let rows = session.rows(&sql, &[(&name, Type::TEXT)]).await?;
    rows.first().map(from_row).transpose()
}

fn from_row(row: &Row) -> Result<Slot, ControlError> {
    let confirmed: Option<&str> = row.try_get("confirmed")?;
    Ok(Slot {
        plugin: row.try_get("plugin")?,
        database: row.try_get("database")?,
        temporary: row.try_get("temporary")?,
        two_phase: row.try_get("two_phase")?,
        active_pid: row.try_get("active_pid")?,
        confirmed: confirmed.map(parse_lsn).transpose()?,
        lost: row.try_get("lost")?,
        wal_status: row.try_get("wal_status")?,
        safe_wal_bytes: row.try_get("safe_wal_bytes")?,
        retained_wal_bytes: row.try_get("retained_wal_bytes")?,
    })
}

fn query(version: ServerVersion) -> String {
    let lost = lost_reason(version);
    format!(
        "select plugin::text as plugin, database::text as database, temporary, two_phase,
                active_pid, confirmed_flush_lsn::text as confirmed, {lost} as lost, wal_status,
                safe_wal_size as safe_wal_bytes,
                (({WAL_END}) - restart_lsn)::int8 as retained_wal_bytes
           from pg_replication_slots
          where slot_name = $1"
    )
}

/// Why the slot can never be streamed from again, else null.
fn lost_reason(version: ServerVersion) -> &'static str {
    match version.major() {
        ..=15 => "case when wal_status = 'lost' then 'the WAL it needs was removed' end",
        16 => {
            "case when conflicting then 'it conflicted with recovery' \
                  when wal_status = 'lost' then 'the WAL it needs was removed' end"
        }
        _ => {
            "coalesce(invalidation_reason, \
                      case when wal_status = 'lost' then 'the WAL it needs was removed' end)"
        }
    }
}
