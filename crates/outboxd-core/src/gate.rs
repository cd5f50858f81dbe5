//! The start gate: whether it is safe to stream, given the recorded progress and the server's state.
//!
//! Nothing is repaired here. Whatever does not fit ends in a [`Stop`] with a code of its own.

use crate::lsn::Lsn;

/// `system_identifier` of a database cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SystemId(pub u64);

/// What `IDENTIFY_SYSTEM` and `TIMELINE_HISTORY` say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    pub system_id: SystemId,
    pub timeline: u32,
    /// The server's WAL flush position.
    pub flush_lsn: Lsn,
    pub database: String,
    /// Where each older timeline was left, oldest first. Asked for only when the timeline is not
    /// the recorded one.
    pub history: Vec<TimelineSwitch>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimelineSwitch {
    pub timeline: u32,
    pub switch_point: Lsn,
}

/// The row of `pg_replication_slots`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slot {
    /// `None` for a physical slot.
    pub plugin: Option<String>,
    pub database: Option<String>,
    pub temporary: bool,
    pub two_phase: bool,
    /// The server process that streams from it.
    pub active_pid: Option<i32>,
    pub confirmed: Option<Lsn>,
    /// `wal_status` is `lost`, or `invalidation_reason` (17+) / `conflicting` (16+) is set; says why.
    pub lost: Option<String>,
    pub wal_status: Option<String>,
    pub safe_wal_bytes: Option<i64>,
    /// Bytes of WAL held back by `restart_lsn`.
    pub retained_wal_bytes: Option<i64>,
}

/// What `pg_publication` and its companions say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication {
    pub inserts: bool,
    /// Configured tables that it does not publish, as `schema.table`.
    pub missing_tables: Vec<String>,
    /// Changes whenever the publication or its membership is altered (F39).
    pub fingerprint: String,
}

/// The state of everything the gate looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    pub server: Server,
    pub slot: Option<Slot>,
    pub publication: Option<Publication>,
}
