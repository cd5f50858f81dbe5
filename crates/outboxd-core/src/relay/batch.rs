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

use crate::ledger::Entry;
use crate::lsn::Lsn;
use crate::time::Tick;

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
    pub(super) limits: TransactionLimits,
    pub(super) state: State,
    /// Bytes handed out in the open Kafka transaction, and those of the last database transaction in
    /// it.
    bytes: u64,
    pub(super) bytes_of_last: u64,
    /// Written to the progress topic in the open Kafka transaction.
    pub(super) written: Vec<Entry>,
    committed_at: Tick,
    commit_took: Duration,
    /// A database transaction during which the time was up once. It has to be split the next time,
    /// or it would never get through.
    pub(super) timed_out: Option<Lsn>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
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

    pub(super) fn is_open(&self) -> bool {
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

    pub(super) fn has_time_up(&self, now: Tick) -> bool {
        matches!(self.state, State::Open { since } if now.since(since) >= self.limits.time)
    }

    /// The next commit is worth its time.
    pub(super) fn is_due(&self, now: Tick) -> bool {
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

    pub(super) fn end(&mut self, now: Tick, sealed: Tick) -> Vec<Entry> {
        self.commit_took = now.since(sealed);
        self.committed_at = now;
        self.state = State::Ready;
        std::mem::take(&mut self.written)
    }
}

/// A commit costs about a fifth of the time at most.
const OPEN_PER_COMMIT: u32 = 4;
const OPEN_MAX: Duration = Duration::from_secs(1);
