//! From an open session to a stream: gate, claim, re-read, and on a first run the slot.

use super::{CloseReason, Goal, Note, Output, Relay, Session};
use crate::gate::{self, Next, Observed};
use crate::headers::Sequence;
use crate::ledger::{Entry, Position};
use crate::lsn::Lsn;
use crate::parking::{ParkedRow, Policy};
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::progress::{Progress, Recorded};
use crate::record::Identity;
use crate::stop::Stop;
use crate::time::Now;
use crate::window::{Durable, Window};

/// What the shell found when it had the lock.
#[derive(Clone, Debug)]
pub struct Opened {
    pub recorded: Recorded,
    pub observed: Observed,
}

#[derive(Debug)]
pub(super) struct Opening {
    phase: Phase,
    observed: Observed,
    /// What was read last. In exactly-once mode before the fence, where the last transaction may not
    /// be readable yet although it is committed and confirmed, and then behind it.
    recorded: Recorded,
    /// What the claim stands on.
    entry: Option<gate::Entry>,
    /// The window is not to be trusted any more: somebody else was active meanwhile, or the server
    /// is on another timeline, whose WAL differs from some point on.
    window_is_stale: bool,
    claim_offset: Option<i64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The window is to be replaced, which has to wait for the reports of what it holds.
    Settling,
    /// Exactly-once mode: other producers are shut out.
    Fencing,
    Claiming,
    Rereading,
    CreatingSlot,
    Recording,
    /// Of the dead-letter table.
    Loading,
}

impl Relay {
    pub fn handle_opened(&mut self, now: Now, opened: Opened) {
        self.observe(now);
        let Opened { recorded, observed } = opened;
        if let Err(stop) = self.may_open(&recorded, &observed) {
            return self.handle_stop(now, stop);
        }
        let server_timeline = Some(observed.server.timeline);
        if self.owner.as_ref().map(|owner| owner.timeline) != server_timeline {
            self.trials.reset();
        }
        let mine = recorded.progress.clone().filter(|progress| self.is_mine(progress));
        let timeline = mine.as_ref().map(|mine| mine.timeline);
        let window_is_stale = self.batch.is_some() || timeline != server_timeline;
        if mine.is_none() {
            self.disown();
        }
        self.owner = mine;
        self.session = Session::Opening(Box::new(Opening {
            phase: Phase::Settling,
            window_is_stale,
            observed,
            recorded,
            entry: None,
            claim_offset: None,
        }));
        self.drive(now);
    }

    /// Whether to go on from the first reading. Behind the fence the gate has the last word; before it
    /// only a server that is not ours must be told from ours, because fencing disturbs production.
    fn may_open(&self, recorded: &Recorded, observed: &Observed) -> Result<(), Stop> {
        let handed_out = self.window.last_handed_out();
        match &recorded.progress {
            Some(progress) if self.batch.is_some() => {
                gate::check_identity(progress, &observed.server, handed_out).map(drop)
            }
            progress => {
                let rules = &self.settings.rules;
                gate::decide(progress.as_ref(), observed, rules, handed_out).map(drop)
            }
        }
    }

    /// Whether the newest record was written by this relay: by a position of its acquisition, or by
    /// a claim whose opening was interrupted.
    fn is_mine(&self, recorded: &Progress) -> bool {
        let acquisition = self.owner.as_ref().map(|owner| owner.acquisition);
        acquisition == Some(recorded.acquisition) || self.claimed.contains(recorded)
    }

    /// The claim is out and what became of it not known yet.
    pub(super) fn is_claiming(&self) -> bool {
        let Session::Opening(opening) = &self.session else { return false };
        matches!(opening.phase, Phase::Claiming | Phase::Rereading)
    }

    /// Called whenever something changed: goes on when the reports have come.
    pub(super) fn drive_opening(&mut self, now: Now) {
        let Session::Opening(opening) = &self.session else { return };
        if self.drain.is_some() {
            return;
        }
        let is_settled = self.window.unacked() == 0 && !self.ledger.is_in_flight();
        match (opening.phase, &self.batch) {
            (Phase::Settling, _) if opening.window_is_stale && !is_settled => {}
            (Phase::Settling, None) => self.claim(now),
            // A producer of the session before is fit to go on, and no proof that all it committed
            // can be read.
            (Phase::Settling, Some(batch)) if batch.is_settled() => {
                self.abandon();
                self.enter(Phase::Fencing);
                self.fence();
            }
            (Phase::Fencing, Some(batch)) if batch.is_ready() => {
                self.enter(Phase::Rereading);
                self.output(Output::ReadProgress);
            }
            _ => {}
        }
    }

    /// The progress topic as it is after our claim.
    pub fn handle_reread(&mut self, now: Now, recorded: Recorded, high_watermark: i64) {
        self.observe(now);
        if self.batch.is_some() {
            self.reread_behind_fence(now, recorded);
            return self.drive(now);
        }
        let Session::Opening(opening) = &self.session else { return };
        let alone = opening.claim_offset.is_none_or(|offset| offset + 1 == high_watermark);
        // Another's may have the same acquisition: both were interrupted before they were written.
        let claim = opening.entry.as_ref().map(|entry| &entry.progress);
        if !alone || recorded.progress.as_ref() != claim {
            self.disown();
            self.close(CloseReason::ClaimLost);
            return self.drive(now);
        }
        self.owned(now, recorded, high_watermark);
        self.drive(now);
    }

    /// Nobody else can write any more, so what is read now is the truth, and the claim stands on it.
    fn reread_behind_fence(&mut self, now: Now, recorded: Recorded) {
        let Session::Opening(opening) = &mut self.session else { return };
        #[cfg(test)]
        if is_planted(Planted::TrustsFirstReading) {
            return self.claim(now);
        }
        opening.recorded = recorded;
        self.claim(now);
    }

    /// Exactly-once mode: the claim's transaction is committed.
    pub(super) fn claim_committed(&mut self, now: Now) {
        let Session::Opening(opening) = &mut self.session else { return };
        if opening.phase != Phase::Claiming {
            return;
        }
        let mut recorded = std::mem::take(&mut opening.recorded);
        recorded.older.extend(recorded.progress.as_ref().map(|former| former.acquisition));
        self.owned(now, recorded, 0);
    }

    /// The claim holds.
    fn owned(&mut self, now: Now, recorded: Recorded, next_offset: i64) {
        let Session::Opening(opening) = &self.session else { return };
        let Some(gate::Entry { progress, next, .. }) = opening.entry.clone() else { return };
        self.own(progress, recorded, next_offset);
        match next {
            Next::Stream => self.begin_stream(now),
            Next::CreateSlot => {
                self.enter(Phase::CreatingSlot);
                if self.drain.is_none() {
                    self.output(Output::CreateSlot);
                }
            }
            Next::RecordSlotPosition => {
                let Session::Opening(opening) = &self.session else { return };
                let slot = opening.observed.slot.as_ref();
                let confirmed = slot.and_then(|slot| slot.confirmed).unwrap_or(Lsn::ZERO);
                self.record_first_position(now, confirmed);
            }
        }
    }

    /// The slot was created and starts at `consistent_point`.
    pub fn handle_slot_created(&mut self, now: Now, consistent_point: Lsn) {
        self.observe(now);
        let Session::Opening(opening) = &self.session else { return };
        if opening.phase == Phase::CreatingSlot {
            self.record_first_position(now, consistent_point);
        }
        self.drive(now);
    }

    pub(super) fn claim_acked(&mut self, offset: Option<i64>) {
        let Session::Opening(opening) = &mut self.session else { return };
        opening.claim_offset = offset;
        opening.phase = Phase::Rereading;
        self.output(Output::ReadProgress);
    }

    /// Whether the ack of the present position ends the opening.
    pub(super) fn first_position_acked(&mut self, now: Now) {
        let Session::Opening(opening) = &self.session else { return };
        if opening.phase == Phase::Recording {
            self.note(Note::SlotRecorded { end_lsn: self.window.end_lsn() });
            self.begin_stream(now);
        }
    }

    /// The progress record for what is durable now, while it may be written.
    pub(super) fn position(&self, now: Now) -> Option<Position> {
        let owner = self.owner.as_ref().filter(|_| self.ledger.is_owned())?;
        let parked_lsn = owner.parked_lsn.max(self.parking.newest());
        let owner = Progress { parked_lsn, released: self.released(), ..owner.clone() };
        let progress = stamp(owner, self.window.durable(), now);
        Some(Position { progress, durable_records: self.window.durable_records() })
    }

    fn claim(&mut self, now: Now) {
        let handed_out = self.window.last_handed_out();
        let Session::Opening(opening) = &mut self.session else { return };
        let recorded = opening.recorded.progress.as_ref();
        let rules = &self.settings.rules;
        let mut entry = match gate::decide(recorded, &opening.observed, rules, handed_out) {
            Ok(entry) => entry,
            Err(stop) => return self.handle_stop(now, stop),
        };
        let progress = &mut entry.progress;
        let lowered = entry.lowered_from.map(|from| (from, progress.end_lsn));
        let repeats_max = progress.unrecorded_events_max;
        // While the window is ours, what became durable since the last record is known to be.
        let stale = opening.window_is_stale;
        let durable = if stale { progress.durable() } else { self.window.durable() };
        progress.acquisition += 1;
        // A transaction repeats nothing.
        progress.unrecorded_events_max =
            if self.batch.is_some() { 0 } else { self.settings.unrecorded_events_max };
        *progress = stamp(progress.clone(), durable, now);
        let claim = progress.clone();
        opening.phase = Phase::Claiming;
        opening.entry = Some(entry);
        if let Some((from, to)) = lowered {
            self.note(Note::PositionLowered { from, to });
        }
        if stale {
            self.replace_window(durable);
        }
        let Progress { acquisition, end_lsn, partial, .. } = claim;
        if self.claimed.len() == CLAIMS_REMEMBERED {
            self.claimed.pop_front();
        }
        self.claimed.push_back(claim.clone());
        self.ledger.claim(claim);
        self.seal_alone(now);
        self.note(Note::Claimed { acquisition, end_lsn, partial, repeats_max });
    }

    fn own(&mut self, progress: Progress, recorded: Recorded, next_offset: i64) {
        self.confirmed = self.confirmed.max(progress.end_lsn);
        self.released.clone_from(&progress.released);
        self.owner = Some(progress);
        self.ledger.owned_from(next_offset);
        for (name, partitions) in self.topics.recorded(recorded.topics) {
            self.ledger.push(Entry::Topic { name, partitions });
        }
        for acquisition in recorded.older {
            self.ledger.push(Entry::Forget { acquisition });
        }
    }

    fn record_first_position(&mut self, now: Now, end_lsn: Lsn) {
        let Some(owner) = &mut self.owner else { return };
        owner.creating = false;
        self.replace_window(Durable { end_lsn, ..Durable::default() });
        if let Some(position) = self.position(now) {
            self.ledger.push(Entry::Position(Box::new(position)));
        }
        self.seal_alone(now);
        self.enter(Phase::Recording);
    }

    fn replace_window(&mut self, durable: Durable) {
        self.confirmed = durable.end_lsn.min(self.confirmed);
        self.recorded_records = 0;
        self.trials.forget_before(durable.end_lsn);
        #[cfg(test)]
        let durable = match is_planted(Planted::SkipsAfterRewind) {
            true => Durable { end_lsn: durable.end_lsn.max(self.received), ..durable },
            false => durable,
        };
        self.window = Window::new(self.settings.limits, durable);
    }

    fn enter(&mut self, phase: Phase) {
        if let Session::Opening(opening) = &mut self.session {
            opening.phase = phase;
        }
    }

    fn begin_stream(&mut self, now: Now) {
        if let Session::Opening(opening) = &self.session
            && self.settings.goal == Goal::Once
        {
            self.target.get_or_insert(opening.observed.server.flush_lsn);
        }
        if self.settings.goal == Goal::SetUp {
            return self.begin_drain(now, Ok(()));
        }
        // A drain hands nothing out.
        let Some(owner) = self.owner.as_ref().filter(|_| self.drain.is_none()) else {
            return self.start_stream(now);
        };
        let acquisition = owner.acquisition;
        let from = self.next_sequence();
        let released = self.released.clone();
        self.enter(Phase::Loading);
        self.output(Output::LoadParked { acquisition, from, released });
    }

    /// No event of the stream to come stands before it.
    fn next_sequence(&self) -> Sequence {
        let epoch = self.owner.as_ref().map_or(1, |owner| owner.epoch);
        let at = Identity { commit_lsn: self.window.end_lsn(), ordinal: 0 };
        Sequence { epoch, at }
    }

    /// The rows of the dead-letter table that are unresolved, or lie at or past the position; `None`:
    /// there is no such table.
    pub fn handle_loaded(&mut self, now: Now, rows: Option<Vec<ParkedRow>>) {
        self.observe(now);
        let Session::Opening(opening) = &self.session else { return };
        if opening.phase == Phase::Loading && self.drain.is_none() {
            if rows.is_none() && self.settings.parking.policy != Policy::Halt {
                self.note(Note::ParkingOff);
            }
            self.released.clear();
            self.parking.load(self.next_sequence(), rows);
            self.start_stream(now);
        }
        self.drive(now);
    }
}

/// One connection after another may be cut before a claim is found to hold.
const CLAIMS_REMEMBERED: usize = 16;

fn stamp(progress: Progress, durable: Durable, now: Now) -> Progress {
    Progress {
        end_lsn: durable.end_lsn,
        partial: durable.partial,
        last_commit: durable.last_commit,
        last_event_lsn: durable.last_event_lsn,
        written_at_ms: now.unix_ms,
        ..progress
    }
}
