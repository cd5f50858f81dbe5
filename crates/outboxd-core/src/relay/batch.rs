//! Exactly-once mode: what is handed out is held together by Kafka transactions, one at a time.
//!
//! ```text
//! Unfenced ─▶ Fencing ─▶ Ready ─record─▶ Open ─▶ Sealing ─▶ Committing ─▶ Ready
//!     ▲                                   │         │            │
//!     └──── abandoned: the producer goes, and with it what its transaction held ──┘
//! ```
//!
//! A transaction holds whole transactions of the database, and last the position behind them. So
//! whatever becomes of it, the progress topic tells what became visible: after a failure the next
//! session begins there, with a producer that has fenced all former ones. Nothing of the window
//! outlives that. Only a database transaction above a limit of size is split; then the position says
//! how far it came.
//!
//! Nothing is handed out while a transaction is sealed and committed. To lose little time that way, a
//! transaction stays open four times as long as the last one took from its sealing to the end of its
//! commit, and an idle system commits at once.

use std::time::Duration;

use super::{CloseReason, Note, Output, Producer, Relay};
use crate::ledger::Entry;
use crate::lsn::Lsn;
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::time::{Now, Tick};

/// How large a Kafka transaction may become.
#[derive(Clone, Copy, Debug)]
pub struct TransactionLimits {
    /// From here on it is committed behind the next Commit of the database; and a single transaction
    /// of the database is split.
    pub bytes: u64,
    /// How long it may stay open.
    pub time: Duration,
}

#[derive(Debug)]
pub(super) struct Batch {
    limits: TransactionLimits,
    state: State,
    /// Bytes handed out in the open Kafka transaction, and those of the last database transaction in
    /// it.
    bytes: u64,
    bytes_of_last: u64,
    /// Written to the progress topic in the open Kafka transaction.
    written: Vec<Entry>,
    committed_at: Tick,
    commit_took: Duration,
    /// A database transaction during which the time was up once. It has to be split the next time,
    /// or it would never get through.
    timed_out: Option<Lsn>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// There is no producer, or none to be trusted.
    Unfenced,
    Fencing,
    Ready,
    Open {
        since: Tick,
    },
    /// No more records. `is_complete`: the position was handed over too.
    Sealing {
        since: Tick,
        is_complete: bool,
    },
    Committing {
        sealed: Tick,
    },
}

impl Batch {
    pub(super) fn new(limits: TransactionLimits) -> Self {
        Self {
            limits,
            state: State::Unfenced,
            bytes: 0,
            bytes_of_last: 0,
            written: Vec::new(),
            committed_at: Tick::default(),
            commit_took: Duration::ZERO,
            timed_out: None,
        }
    }

    pub(super) fn takes_records(&self) -> bool {
        matches!(self.state, State::Ready | State::Open { .. })
    }

    /// Kafka is asked for something of which no delivery report will tell.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.state, State::Fencing | State::Committing { .. })
    }

    /// No transaction is open or about to be.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Unfenced | State::Ready)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Its producer was given up, or there was none yet.
    pub(super) fn is_unfenced(&self) -> bool {
        self.state == State::Unfenced
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// A database transaction begins.
    pub(super) fn begun(&mut self) {
        self.bytes_of_last = 0;
    }

    pub(super) fn handed_out(&mut self, now: Tick, bytes: usize) {
        if self.state == State::Ready {
            self.state = State::Open { since: now };
            (self.bytes, self.bytes_of_last) = (0, 0);
        }
        self.bytes += bytes as u64;
        self.bytes_of_last += bytes as u64;
    }

    fn has_time_up(&self, now: Tick) -> bool {
        matches!(self.state, State::Open { since } if now.since(since) >= self.limits.time)
    }

    /// The next commit is worth its time.
    fn is_due(&self, now: Tick) -> bool {
        self.bytes >= self.limits.bytes || now >= self.due()
    }

    fn due(&self) -> Tick {
        self.committed_at + (self.commit_took * OPEN_PER_COMMIT).min(OPEN_MAX)
    }

    /// When something is to be done though nothing else happens.
    pub(super) fn timeout(&self, is_torn: bool) -> Option<Tick> {
        let State::Open { since } = self.state else { return None };
        Some(if is_torn { since + self.limits.time } else { self.due() })
    }

    fn end(&mut self, now: Tick, sealed: Tick) -> Vec<Entry> {
        self.commit_took = now.since(sealed);
        self.committed_at = now;
        self.state = State::Ready;
        std::mem::take(&mut self.written)
    }
}

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
        self.drive_sealed(now);
    }

    /// Called after every change of the stream, too.
    pub(super) fn seal_when_due(&mut self, now: Now) {
        let is_torn = self.window.is_torn();
        let Some(batch) = &mut self.batch else { return };
        if !batch.is_open() {
            return;
        }
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

/// A commit costs about a fifth of the time at most.
const OPEN_PER_COMMIT: u32 = 4;
const OPEN_MAX: Duration = Duration::from_secs(1);
