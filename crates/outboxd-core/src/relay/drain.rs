//! The end: nothing more is read, what is in flight is waited for, the last position is recorded
//! and reported.

use super::stream::After;
use super::{Note, Output, Relay, Session};
use crate::ledger::Entry;
use crate::stop::Stop;
use crate::time::{Now, Tick};

#[derive(Debug)]
pub(super) struct Drain {
    pub(super) deadline: Tick,
    outcome: Result<(), Stop>,
    final_position_written: bool,
}

impl Relay {
    /// The first reason to end is the one that counts.
    pub(super) fn begin_drain(&mut self, now: Now, outcome: Result<(), Stop>) {
        if self.drain.is_some() || matches!(self.session, Session::Finished) {
            return;
        }
        let deadline = now.tick + self.settings.drain_timeout;
        self.drain = Some(Drain { deadline, outcome, final_position_written: false });
        self.held.is_full = false;
        self.note(Note::Draining { in_flight: self.window.unacked() });
    }

    pub(super) fn drive_drain(&mut self, now: Now) {
        let Some(drain) = &self.drain else { return };
        if matches!(self.session, Session::Finished) {
            return;
        }
        if now.tick >= drain.deadline {
            return self.finish();
        }
        // A position written under the former acquisition would not count behind our claim.
        let claim_decides = drain.outcome.is_ok() && self.is_claiming();
        if matches!(self.session, Session::Ending { after: After::Finish, .. })
            || claim_decides
            || self.window.unacked() > 0
            || self.is_replay_in_flight()
            || !self.is_written_out()
        {
            return;
        }
        if !drain.final_position_written && self.write_final_position(now) {
            return;
        }
        match self.session {
            Session::Streaming => {
                self.send_status(now, false);
                self.end_stream(now, After::Finish);
            }
            Session::Ending { .. } => {}
            _ => self.finish(),
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(drain) = self.drain.take() {
            self.session = Session::Finished;
            self.output(Output::Finished(drain.outcome));
        }
    }

    /// Nothing is on its way to the progress topic.
    fn is_written_out(&self) -> bool {
        match &self.batch {
            Some(batch) => batch.is_settled(),
            None => self.ledger.is_idle(),
        }
    }

    fn write_final_position(&mut self, now: Now) -> bool {
        let position = self.position(now);
        if let Some(drain) = &mut self.drain {
            drain.final_position_written = true;
        }
        let Some(position) = position.filter(|_| self.has_news()) else { return false };
        if self.batch.is_some() {
            self.seal(now);
            return true;
        }
        self.ledger.push(Entry::Position(Box::new(position)));
        self.hand_over_progress();
        true
    }
}
