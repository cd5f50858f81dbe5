//! What a repair of a gap would do, decided from what was observed.
//!
//! A gap is where the stream can no longer say what was published and what was not. The rows are
//! still in the outbox table: those from a safe time on are published again, and the relay gets a
//! slot and a position to go on from. Whatever moment a repair is interrupted at, the gate still
//! stops: a new slot stands past the recorded position, and where it might not, an unfit position
//! is recorded first ([`Plan::mark`]).

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::gate::{self, Entry, Observed, Rules, Server, Slot};
use crate::headers::Sequence;
use crate::lsn::Lsn;
use crate::progress::{FORMAT, Progress};
use crate::record::Identity;
use crate::stop::{Code, Stop};
use crate::time::PgTimestamp;

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// Publish rows from this moment on, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Repair although the gate passes: what only the stream can find.
    pub force: bool,
    pub now_ms: i64,
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

/// Decides what is to be done. Stops where a repair cannot help, or would hurt somebody else.
pub fn plan(
    recorded: Option<&Progress>,
    observed: &Observed,
    rules: &Rules,
    request: Request,
) -> Result<Repair, Stop> {
    let cause = match gate::decide(recorded, observed, rules, Lsn::ZERO) {
        Ok(entry) if !request.force => return Ok(Repair::Nothing(Box::new(entry))),
        Ok(_) => unseen_by_the_gate(),
        Err(stop) => stop,
    };
    check_curable(&cause, recorded, observed, request)?;
    let slot = slot_action(&cause, observed.slot.as_ref(), rules)?;
    let base = base(&cause, recorded, observed, rules);
    let mark = recorded
        .filter(|recorded| is_ahead(recorded, &observed.server))
        .map(|_| Progress { end_lsn: Lsn::ZERO, ..base.clone() });
    Ok(Repair::Needed(Box::new(Plan {
        since: since(recorded, request),
        phantoms: recorded.and_then(|recorded| phantoms(&cause, recorded, &observed.server)),
        cause,
        slot,
        mark,
        base,
    })))
}

fn check_curable(
    cause: &Stop,
    recorded: Option<&Progress>,
    observed: &Observed,
    request: Request,
) -> Result<(), Stop> {
    let server = &observed.server;
    let is_curable = match (cause.code, recorded) {
        (Code::SlotLost | Code::ProgressLost, _)
        | (Code::SlotMissing | Code::SlotMoved | Code::PositionAhead, Some(_)) => true,
        // A former primary: the present one has the slot and the relay.
        (Code::Diverged, Some(recorded)) => server.timeline >= recorded.timeline,
        (Code::OtherSystem, Some(recorded)) => {
            let silent_ms = request.now_ms.saturating_sub(recorded.written_at_ms);
            if silent_ms < ALIVE_WITHIN.as_millis().try_into().unwrap_or(i64::MAX) {
                return Err(still_alive(cause, silent_ms));
            }
            true
        }
        // A first run has no gap, and other stops are no gaps.
        _ => false,
    };
    if is_curable { Ok(()) } else { Err(cause.clone()) }
}

fn slot_action(cause: &Stop, slot: Option<&Slot>, rules: &Rules) -> Result<SlotAction, Stop> {
    let Some(slot) = slot else { return Ok(SlotAction::Create) };
    if let Some(pid) = slot.active_pid {
        return Err(Stop::new(Code::SlotInUse, format!("slot \"{}\" is being read", rules.slot))
            .detail(format!("by server process {pid}, which does not hold this relay's lock"))
            .hint(
                "find out who reads it (pg_stat_replication) and give them a slot of their own",
            ));
    }
    let ours = slot.plugin.as_deref() == Some("pgoutput")
        && slot.database.as_ref() == Some(&rules.database)
        && !slot.temporary
        && !slot.two_phase;
    if !ours {
        return Err(Stop::new(
            Code::SlotUnusable,
            format!("slot \"{}\" is not one of ours", rules.slot),
        )
        .detail("its plugin, database or kind is not what outboxd creates: it is left alone")
        .hint("choose another `source.slot`"));
    }
    Ok(match cause.code {
        Code::ProgressLost => SlotAction::Keep(slot.confirmed.unwrap_or(Lsn::ZERO)),
        _ => SlotAction::Replace,
    })
}

fn since(recorded: Option<&Progress>, request: Request) -> Option<Since> {
    if let Some(at_ms) = request.since_ms {
        return Some(Since { at_ms, basis: Basis::Asked });
    }
    let recorded = recorded?;
    let (known_ms, basis) = match recorded.last_commit {
        Some(last) => (PgTimestamp::from_micros(last.time_us).unix_millis(), Basis::LastCommit),
        None => (recorded.written_at_ms, Basis::WrittenAt),
    };
    (known_ms > 0).then(|| Since { at_ms: before(known_ms), basis })
}

fn phantoms(cause: &Stop, recorded: &Progress, server: &Server) -> Option<Phantoms> {
    let switch = server.history.iter().find(|switch| switch.timeline == recorded.timeline)?;
    let found = Phantoms {
        epoch: recorded.epoch,
        from: switch.switch_point,
        to: recorded.newest_identity(),
    };
    (cause.code == Code::Diverged).then_some(found)
}

fn base(cause: &Stop, recorded: Option<&Progress>, observed: &Observed, rules: &Rules) -> Progress {
    let server = &observed.server;
    let fingerprint = observed.publication.as_ref().map(|found| found.fingerprint.clone());
    Progress {
        format: FORMAT,
        acquisition: recorded.map_or(1, |recorded| recorded.acquisition.saturating_add(1)),
        epoch: epoch(cause, recorded, server),
        system_id: server.system_id.0.to_string(),
        timeline: server.timeline,
        database: rules.database.clone(),
        slot: rules.slot.clone(),
        creating: false,
        end_lsn: Lsn::ZERO,
        partial: None,
        last_event_lsn: Lsn::ZERO,
        parked_lsn: Lsn::ZERO,
        last_commit: recorded.and_then(|recorded| recorded.last_commit),
        publication: fingerprint.unwrap_or_default(),
        released: Vec::new(),
        unrecorded_events_max: 0,
        written_at_ms: recorded.map_or(0, |recorded| recorded.written_at_ms),
    }
}

/// Rises where positions may start over: consumers compare by it.
fn epoch(cause: &Stop, recorded: Option<&Progress>, server: &Server) -> u16 {
    let Some(recorded) = recorded else {
        // Lost with the progress. It began at 1 and rose with each timeline at most.
        return u16::try_from(server.timeline).unwrap_or(u16::MAX).max(1);
    };
    let is_same_history = recorded.timeline == server.timeline
        && !is_ahead(recorded, server)
        && !matches!(cause.code, Code::OtherSystem | Code::Diverged);
    recorded.epoch.saturating_add(u16::from(!is_same_history))
}

/// The server was restored to an earlier state: its log has yet to reach the position.
fn is_ahead(recorded: &Progress, server: &Server) -> bool {
    recorded.end_lsn > server.flush_lsn
}

fn unseen_by_the_gate() -> Stop {
    Stop::new(Code::Diverged, "a repair is wanted although the gate passes")
        .detail("the stream may have met another history than the recorded one")
}

fn still_alive(cause: &Stop, silent_ms: i64) -> Stop {
    Stop::new(Code::OtherSystem, cause.message.clone())
        .detail(format!(
            "a relay of that cluster recorded its position {} s ago: it is at work",
            silent_ms.max(0) / 1000
        ))
        .hint(
            "a clone needs a `source.name` of its own; to move, stop the old relay for good first",
        )
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
/// An idle relay records its position every ten seconds.
const ALIVE_WITHIN: Duration = Duration::from_secs(60);
