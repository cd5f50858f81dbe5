//! The server's side of a status report.

use outboxd_core::gate::Slot;
use outboxd_core::lsn::Lsn;
use tokio_postgres::types::Type;

use super::Question;
use crate::catalog::{server, slot};
use crate::control::{ControlError, ControlSession};
use crate::dead_letters::operator::Parked;

pub(super) struct Observed {
    pub(super) slot: Option<Slot>,
    pub(super) wal_end: Lsn,
    /// The server's clock.
    pub(super) now_ms: i64,
    /// Somebody holds the relay's advisory lock. A relay that has nothing it could confirm stops
    /// streaming and keeps its lock.
    pub(super) locked: bool,
    pub(super) parked: Option<Parked>,
}

impl Observed {
    pub(super) async fn read(
        session: &ControlSession,
        question: &Question,
    ) -> Result<Self, ControlError> {
        // The slot first: what it has confirmed cannot lie past an end that is read later.
        let slot = slot::read(session, &question.slot).await?;
        let wal_end = server::wal_end(session).await?;
        let now_ms = session.row(CLOCK, &[]).await?.try_get(0)?;
        let locked = is_locked(session, &question.name).await?;
        let parked = Parked::read(session, &question.name).await?;
        Ok(Self { slot, wal_end, now_ms, locked, parked })
    }
}

/// Whether a relay of this name is at work, streaming or not.
pub(crate) async fn is_locked(session: &ControlSession, name: &str) -> Result<bool, ControlError> {
    Ok(session.row(LOCK, &[(&name, Type::TEXT)]).await?.try_get(0)?)
}

const CLOCK: &str = "select (extract(epoch from clock_timestamp()) * 1000)::int8";

/// The key is the one that a relay's session takes. An advisory lock of one 64-bit key is shown as two halves, with objsubid 1.
const LOCK: &str = "
    select exists (
        select from pg_locks l
          join pg_database d on d.oid = l.database
         where l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock'
           and l.objsubid = 1 and d.datname = current_database()
           and (l.classid::int8 << 32) | l.objid::int8
               = hashtextextended('outboxd:' || $1, 0))";
