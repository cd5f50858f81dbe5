//! What a repair of a gap would do, decided from what was observed.
//!
//! A gap is where the stream can no longer say what was published and what was not. The rows are
//! still in the outbox table: those from a safe time on are published again, and the relay gets a
//! slot and a position to go on from. Whatever moment a repair is interrupted at, the gate still
//! stops: a new slot stands past the recorded position, and where it might not, an unfit position
//! is recorded first ([`Plan::mark`]).

mod decide;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::decide::plan;
use crate::gate::Entry;
use crate::headers::Sequence;
use crate::lsn::Lsn;
use crate::progress::Progress;
use crate::record::Identity;
use crate::stop::Stop;

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// Publish rows from this moment on, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Repair although the gate passes: what only the stream can find.
    pub force: bool,
    pub stored: Stored,
    pub now_ms: i64,
}

/// Where the events of a relay are still to be found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stored {
    /// All of them in tables.
    #[default]
    All,
    /// Some come as logical messages, and stand nowhere but in the log.
    Some,
    /// All of them do.
    Nothing,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Repair {
    /// The gate passes.
    Nothing(Box<Entry>),
    Needed(Box<Plan>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// What a relay stops with.
    pub cause: Stop,
    pub slot: SlotAction,
    /// `None`: no time is known, so all rows.
    pub since: Option<Since>,
    /// To be recorded before the slot is touched: a position that fits no slot. Without it the
    /// new slot could lie behind the recorded position, and the gate would pass.
    pub mark: Option<Progress>,
    /// Events in Kafka that this database does not have.
    pub phantoms: Option<Phantoms>,
    /// Events that came as logical messages cannot be published again.
    pub lacks_messages: bool,
    /// What is to be recorded at the end, but for position and time.
    base: Progress,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SlotAction {
    Create,
    /// It is ours and of no use: dropped, and created again.
    Replace,
    /// It holds the log from this position on, which nothing says is wrong.
    Keep(Lsn),
}

/// From when on rows are published again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Since {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub basis: Basis,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Basis {
    Asked,
    /// The last transaction that is known to be published.
    LastCommit,
    /// No transaction was recorded: when the position was.
    WrittenAt,
    /// The first event that was published and is not in this database.
    FirstPhantom,
}

/// Where the published history left that of this database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Phantoms {
    pub epoch: u16,
    /// The first commit LSN that is on the old timeline only.
    pub from: Lsn,
    /// The newest that is known to have been published.
    pub to: Lsn,
}

impl Phantoms {
    /// Whether the record with this `sequence` is an event that this database never had.
    pub fn contain(&self, sequence: Sequence) -> bool {
        sequence.epoch == self.epoch && sequence.at.commit_lsn >= self.from
    }

    /// Whether the record is an event from before: what lies before it in its partition is too.
    pub fn follow(&self, sequence: Sequence) -> bool {
        (sequence.epoch, sequence.at.commit_lsn) < (self.epoch, self.from)
    }
}

impl Plan {
    /// A record past the switch point tells when the histories parted: what this database
    /// committed since then is younger.
    pub fn heed_phantom(&mut self, timestamp_ms: i64) {
        let Some(since) = &mut self.since else { return };
        let at_ms = before(timestamp_ms);
        if since.basis != Basis::Asked && at_ms < since.at_ms {
            *since = Since { at_ms, basis: Basis::FirstPhantom };
        }
    }

    pub fn acquisition(&self) -> u64 {
        self.base.acquisition
    }

    pub fn epoch(&self) -> u16 {
        self.base.epoch
    }

    /// Where a row that has to wait for another of its key is parked, when the stream begins at
    /// `position`: behind all that was streamed before and before all that will be. No record of
    /// the log starts at an odd byte, so no event has this place.
    pub fn place(&self, position: Lsn, ordinal: u32) -> Sequence {
        let commit_lsn = just_before(position);
        Sequence { epoch: self.base.epoch, at: Identity { commit_lsn, ordinal } }
    }

    /// The record that ends the repair: everything before `position` is durable.
    pub fn finished(&self, position: Lsn, now_ms: i64) -> Progress {
        Progress {
            end_lsn: position,
            // What was published from the table may have committed right before it.
            last_event_lsn: just_before(position),
            parked_lsn: just_before(position),
            last_commit: None,
            written_at_ms: now_ms,
            ..self.base.clone()
        }
    }
}

fn before(at_ms: i64) -> i64 {
    at_ms.saturating_sub(MARGIN.as_millis().try_into().unwrap_or(i64::MAX))
}

fn just_before(position: Lsn) -> Lsn {
    Lsn::new(position.as_u64().saturating_sub(1))
}

/// A row is stamped when its transaction begins, and a commit later counts from its end: rows of
/// transactions that were open for longer than this may be older than the safe time.
pub const MARGIN: Duration = Duration::from_secs(10 * 60);
