//! Exactly-once mode: the relay around its Kafka transaction.
//!
//! When it is begun, sealed, committed and given up, and what counts then. The state is in
//! [`super::batch`].

use super::batch::{Batch, State};
use super::{CloseReason, Note, Output, Producer, Relay};
use crate::ledger::Entry;
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::time::Now;

impl Relay {
    /// All former producers of this relay's name are shut out, and the new one is ready.
    pub fn handle_fenced(&mut self, now: Now) {
        self.observe(now);
        if let Some(batch) = &mut self.batch
            && batch.state == State::Fencing
        {
            batch.state = State::Ready;
            self.topics.producer_replaced();
            // Of what was abandoned nothing counts.
            self.stats.aborted();
        }
        self.handle_reports_end(now);
    }

    /// The transaction is committed. `must_replace`: by a producer that should not be used further.
    pub fn handle_committed(&mut self, now: Now, must_replace: Option<&str>) {
        self.observe(now);
        let Some(batch) = &mut self.batch else { return };
        let State::Committing { sealed } = batch.state else { return };
        let entries = batch.end(now.tick, sealed);
        self.stats.committed(now);
        for entry in entries {
            self.recorded(now, entry);
        }
        self.replay_committed();
        if let Some(reason) = must_replace {
            self.handle_producer_retired(now, reason);
        }
        self.handle_reports_end(now);
    }

    /// The producer could not fence the others off, or commit. What became of the transaction, the
    /// progress topic will tell.
    pub fn handle_transaction_failed(&mut self, now: Now, error: &str) {
        self.give_producer_up(|| Note::ProducerFailed { error: error.to_owned() });
        self.handle_reports_end(now);
    }

    /// Asks for a producer that has fenced all others. Only with the lock.
    pub(super) fn fence(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.state = State::Fencing;
            self.output(Output::Fence);
        }
    }

    /// What was queued for the progress topic becomes a transaction of its own.
    pub(super) fn seal_alone(&mut self, now: Now) {
        if let Some(batch) = &mut self.batch {
            debug_assert_eq!(batch.state, State::Ready, "one transaction at a time");
            batch.state = State::Sealing { since: now.tick, is_complete: true };
        }
    }

    /// The transaction that is open, or a new one, takes no more records and is committed with the
    /// position behind it.
    pub(super) fn seal(&mut self, now: Now) {
        if let Some(batch) = &mut self.batch
            && batch.takes_records()
        {
            batch.state = State::Sealing { since: now.tick, is_complete: false };
        }
    }

    /// Nothing of the open transaction is to become visible: its producer goes.
    pub(super) fn abandon(&mut self) {
        let Some(batch) = &mut self.batch else { return };
        if batch.state == State::Unfenced {
            return;
        }
        batch.state = State::Unfenced;
        batch.written.clear();
        self.producer = Producer::Alive;
        self.ledger.disown();
        self.forget_uncommitted_replay();
        self.output(Output::AbandonProducer);
    }

    /// The session is gone. What is being committed is waited for; what is not is no more.
    pub(super) fn leave_batch(&mut self) {
        let Some(batch) = &self.batch else { return };
        if matches!(batch.state, State::Open { .. } | State::Sealing { .. }) {
            self.abandon();
        }
    }

    pub(super) fn drive_batch(&mut self, now: Now) {
        if self.batch.is_none() {
            return;
        }
        if self.producer == Producer::Failed {
            self.abandon();
            return self.close(CloseReason::TransactionAborted);
        }
        if self.drain.is_some() && self.batch.as_ref().is_some_and(Batch::is_open) {
            // A part of a database transaction is not to be seen.
            match self.window.is_torn() {
                true => self.abandon(),
                false => self.seal(now),
            }
        }
        self.seal_when_due(now);
    }

    /// Called after every change of the stream, too.
    pub(super) fn seal_when_due(&mut self, now: Now) {
        let Some(batch) = self.batch.as_mut().filter(|batch| batch.is_open()) else { return };
        let is_torn = self.window.is_torn();
        #[cfg(test)]
        let is_torn = is_torn && !is_planted(Planted::TearsTransactions);
        if !is_torn {
            if batch.is_due(now.tick) {
                self.seal(now);
            }
        } else if batch.bytes_of_last >= batch.limits.bytes {
            self.seal(now);
        } else if batch.has_time_up(now.tick) {
            let last = self.window.last_handed_out();
            let again = batch.timed_out.replace(last) == Some(last);
            match again && !self.held.is_full {
                true => self.seal(now),
                false => self.close(CloseReason::TransactionTimedOut { at: last }),
            }
        }
    }

    /// When all reports are in: the position, and when that is in too, the commit.
    pub(super) fn drive_sealed(&mut self, now: Now) {
        let Some(batch) = &self.batch else { return };
        let State::Sealing { since, is_complete } = batch.state else { return };
        let awaits_reports = self.window.unacked() > 0 || self.is_replay_in_flight();
        if awaits_reports || self.ledger.is_in_flight() {
            return;
        }
        if !is_complete {
            let Some(position) = self.position(now) else { return self.abandon() };
            self.clock.position = now.tick;
            self.clock.idle_advance_wanted = false;
            self.ledger.push(Entry::Position(Box::new(position)));
        }
        let is_idle = self.ledger.is_idle();
        let Some(batch) = &mut self.batch else { return };
        batch.state = State::Sealing { since, is_complete: true };
        if is_idle {
            batch.state = State::Committing { sealed: since };
            self.output(Output::CommitTransaction);
        }
    }

    /// Something was written to the progress topic: it counts when its transaction is committed.
    pub(super) fn written(&mut self, entry: Entry) {
        if let Some(batch) = &mut self.batch
            && matches!(batch.state, State::Sealing { .. })
        {
            #[cfg(test)]
            if is_planted(Planted::ConfirmsUncommitted)
                && let Entry::Position(position) = &entry
            {
                self.confirmed = self.confirmed.max(position.progress.end_lsn);
            }
            batch.written.push(entry);
        }
    }

    /// Whether the progress topic may be written to now.
    pub(super) fn may_append(&self) -> bool {
        let Some(batch) = &self.batch else { return true };
        matches!(batch.state, State::Sealing { is_complete: true, .. })
    }
}
