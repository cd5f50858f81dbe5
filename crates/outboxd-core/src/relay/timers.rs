//! What happens by the clock, and what is due after any input.

use std::time::Duration;

use super::batch::Batch;
use super::stream::After;
use super::{CloseReason, Goal, Output, Producer, Relay, Session};
use crate::ledger::Entry;
use crate::lsn::Lsn;
use crate::time::{Now, PgTimestamp, Tick};
use crate::wire::StatusUpdate;

impl Relay {
    /// Time has passed. To be called when [`Self::poll_timeout`] is due, at the latest.
    pub fn handle_timeout(&mut self, now: Now) {
        self.observe(now);
        self.drive(now);
    }

    /// When [`Self::handle_timeout`] is wanted. Never later than a second after the last input, so
    /// that a process that stood still notices; and never again for what could not be done.
    pub fn poll_timeout(&self) -> Tick {
        let heartbeat = HEARTBEAT.min(self.settings.wal_sender_timeout / 6);
        let mut next = self.clock.input + heartbeat;
        let mut sooner = |tick: Tick| next = next.min(tick);
        let unrecorded = self.window.durable_records() != self.recorded_records;
        if unrecorded && self.may_record() {
            sooner(self.clock.position + self.settings.progress_interval);
        }
        if let Some(until) = self.held.until.filter(|_| self.held.is_full && self.may_hand_out()) {
            sooner(until);
        }
        if self.is_streaming() {
            sooner(self.clock.status + self.status_interval());
        }
        let batch = self.batch.as_ref();
        if let Some(timeout) = batch.and_then(|batch| batch.timeout(self.window.is_torn())) {
            sooner(timeout);
        }
        if let Some(due) = self.rotation.timeout().filter(|_| self.may_rotate()) {
            sooner(due);
        }
        if let Some(drain) = &self.drain {
            sooner(drain.deadline);
        }
        next
    }

    /// Everything that may have become due by an input or by time.
    pub(super) fn drive(&mut self, now: Now) {
        self.clock.driven = now.tick;
        self.drive_topics();
        self.drive_producer(now);
        self.drive_batch(now);
        self.drive_replay();
        self.drive_opening(now);
        self.drive_goal(now);
        self.drive_rotation(now);
        self.record_position(now);
        self.drive_drain(now);
        self.drive_sealed(now);
        self.hand_over_progress();
        self.drive_release(now);
        self.drive_end(now);
        self.drive_silence(now);
        if now.tick.since(self.clock.status) >= self.status_interval() {
            self.send_status(now, self.settings.goal == Goal::Once);
        }
    }

    /// Frames may come without a pause, and none of them be followed by a report.
    pub(super) fn drive_when_due(&mut self, now: Now) {
        if now.tick.since(self.clock.driven) >= DRIVEN_WITHIN {
            self.drive(now);
        }
    }

    pub(super) fn handle_keepalive(&mut self, now: Now, wal_end: Lsn, reply_requested: bool) {
        self.received = self.received.max(wal_end);
        self.window.advance_idle(wal_end);
        self.clock.idle_advance_wanted |= reply_requested;
        self.drive(now);
        if reply_requested {
            self.send_status(now, false);
        }
    }

    pub(super) fn send_status(&mut self, now: Now, reply_requested: bool) {
        if !self.is_streaming() {
            return;
        }
        self.clock.status = now.tick;
        self.output(Output::Status(StatusUpdate {
            write: self.received.max(self.confirmed),
            flush: self.confirmed,
            apply: self.confirmed,
            clock: PgTimestamp::from_unix_millis(now.unix_ms),
            reply_requested: reply_requested || self.wants_a_word(now),
        }));
    }

    /// Whether there is anything to record that the last record does not say.
    pub(super) fn has_news(&self) -> bool {
        self.window.durable_records() != self.recorded_records
            || self.window.end_lsn() > self.confirmed
    }

    pub(super) fn hand_over_progress(&mut self) {
        if self.producer != Producer::Failed
            && self.may_append()
            && !matches!(self.session, Session::Finished)
            && let Some((key, value)) = self.ledger.take()
        {
            self.output(Output::AppendProgress { key, value });
        }
    }

    /// Looks at the time of every input. `true`: we stood still for so long that the server may have
    /// given the slot away. The session is closed, and nothing received in it may be acted on.
    pub(super) fn observe(&mut self, now: Now) -> bool {
        let gap = now.tick.since(self.clock.input);
        self.clock.input = now.tick;
        let in_session = !matches!(self.session, Session::Closed | Session::Finished);
        if !in_session || gap < self.settings.wal_sender_timeout / 2 {
            return false;
        }
        let for_ms = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        self.close(CloseReason::Frozen { for_ms });
        true
    }

    fn status_interval(&self) -> Duration {
        match self.settings.goal {
            Goal::Once => self.settings.wal_sender_timeout.min(ONCE_STATUS_INTERVAL),
            _ => self.settings.wal_sender_timeout / 3,
        }
    }

    /// Events are recorded at the progress interval; a position with no event behind it rarely, or
    /// soon when the server asks for a reply, because it may be about to shut down.
    fn record_position(&mut self, now: Now) {
        if !self.may_record() || !self.has_news() {
            return;
        }
        let interval = if self.window.durable_records() != self.recorded_records {
            self.settings.progress_interval
        } else if self.clock.idle_advance_wanted {
            IDLE_INTERVAL_ASKED
        } else {
            IDLE_INTERVAL
        };
        if now.tick.since(self.clock.position) < interval {
            return;
        }
        if self.batch.is_some() {
            return self.seal(now);
        }
        if let Some(position) = self.position(now) {
            self.clock.position = now.tick;
            self.clock.idle_advance_wanted = false;
            self.ledger.push(Entry::Position(Box::new(position)));
        }
    }

    /// Whether a position may be written when there is one; the last one of all is the drain's.
    fn may_record(&self) -> bool {
        let is_free = match &self.batch {
            Some(batch) => batch.is_ready(),
            None => self.ledger.is_idle(),
        };
        self.drain.is_none()
            && self.owner.is_some()
            && self.ledger.is_owned()
            && is_free
            && !matches!(self.session, Session::Opening(_) | Session::Finished)
    }

    fn drive_goal(&mut self, now: Now) {
        let reached = self.window.end_lsn();
        // Until it is committed, all may have to be done again.
        let is_committed = self.batch.as_ref().is_none_or(Batch::is_ready);
        if is_committed && self.target.is_some_and(|target| reached >= target) {
            self.begin_drain(now, Ok(()));
        }
    }

    /// Kafka owes us something and is silent: let the server go. It speaks again: go on.
    fn drive_release(&mut self, now: Now) {
        let is_asked =
            self.ledger.is_in_flight() || self.batch.as_ref().is_some_and(Batch::is_awaited);
        let awaiting = self.window.unacked() > 0 || is_asked || self.held.is_full;
        match self.session {
            Session::Streaming if awaiting => {
                let since = *self.clock.awaiting_since.get_or_insert(now.tick);
                if now.tick.since(since) >= self.settings.release_after {
                    self.end_stream(now, After::Release);
                }
            }
            Session::Released { since } => {
                // What was held had no report to come: look again after a while.
                let nothing_comes = self.window.unacked() == 0 && !is_asked;
                let waited = now.tick.since(since) >= self.settings.release_after;
                if self.clock.awaiting_since.is_none() || (nothing_comes && waited) {
                    self.start_stream(now);
                }
            }
            Session::Ending { .. } => {}
            _ => self.clock.awaiting_since = None,
        }
    }

    pub(super) fn drive_end(&mut self, now: Now) {
        if let Session::Ending { since, after } = self.session
            && now.tick.since(since) >= END_ANSWERED_WITHIN
        {
            if after == After::Finish {
                return self.finish();
            }
            self.close(CloseReason::EndUnanswered);
        }
    }
}

const HEARTBEAT: Duration = Duration::from_secs(1);
const DRIVEN_WITHIN: Duration = Duration::from_millis(100);
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
const IDLE_INTERVAL_ASKED: Duration = Duration::from_secs(1);
const ONCE_STATUS_INTERVAL: Duration = Duration::from_secs(1);
const END_ANSWERED_WITHIN: Duration = Duration::from_secs(2);
