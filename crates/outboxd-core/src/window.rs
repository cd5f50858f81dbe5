//! What is in flight, and how far everything before it is durable.
//!
//! Records get a [`Token`] in the order they are handed out; acks come back in any order. The
//! window turns them into the *durable prefix*: the longest run of transactions whose Commit was
//! read and whose records are all acked, plus the leading durable changes of the next one.
//!
//! It outlives sessions. When the server sends again what was read before, each transaction is
//! recognised by its commit LSN and each change by its ordinal: what is in flight or acked is
//! skipped, what a dead producer lost is handed out again under its old token.
//!
//! Invariants: tokens are handed out without a hole; the first slot, if there is one, is not acked;
//! commit LSNs and positions rise; a position moves only to an end LSN that was read, or, once
//! nothing is open, to the WAL end of a keepalive between transactions.

#[cfg(test)]
mod garbage;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;

use crate::lsn::Lsn;
use crate::pgoutput::{Begin, Commit, Xid};
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::record::{Identity, Token};
use crate::time::PgTimestamp;

#[derive(Debug)]
pub struct Window {
    limits: Limits,
    /// One per record handed out, from token `first` on.
    slots: VecDeque<Slot>,
    first: u64,
    bytes: u64,
    unacked: usize,
    lost: usize,
    transactions: VecDeque<Transaction>,
    /// How many transactions have left the front; names a transaction while others leave.
    left: u64,
    end_lsn: Lsn,
    /// In this session the server has sent all that was committed up to here.
    sent_lsn: Lsn,
    last_commit: Option<LastCommit>,
    last_event_lsn: Lsn,
    cursor: Cursor,
    /// Number of the transaction in the queue that the server has to send next, while it repeats.
    repeat: u64,
    /// The last transaction that this session skipped because it lies before the position: it has to
    /// be the last commit. Compared once, at the first transaction past the position.
    skipped: Option<LastCommit>,
    compared: bool,
}

/// How much may be in flight before reading pauses.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub events: usize,
    pub bytes: u64,
    /// Bytes that a record takes beside its own, for bookkeeping.
    pub overhead: u64,
}

/// The durable prefix.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Durable {
    /// Everything that ends at or before this position is durable.
    pub end_lsn: Lsn,
    /// The leading durable changes of the transaction after it.
    pub partial: Option<Partial>,
    pub last_commit: Option<LastCommit>,
    /// The newest commit LSN behind which an event is durable.
    pub last_event_lsn: Lsn,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Partial {
    pub commit_lsn: Lsn,
    /// How many leading changes, by ordinal, are durable. Never 0.
    pub changes: u32,
}

/// A transaction, such as the last before a position. A server that was restored from an older copy
/// and fed by the same application may give the same place to the same number again: only the time
/// tells the two apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct LastCommit {
    pub commit_lsn: Lsn,
    pub xid: u32,
    /// Microseconds since 2000-01-01.
    pub time_us: i64,
}

impl From<Begin> for LastCommit {
    fn from(begin: Begin) -> Self {
        Self {
            commit_lsn: begin.final_lsn,
            xid: begin.xid.0,
            time_us: begin.commit_time.as_micros(),
        }
    }
}

impl fmt::Display for LastCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commit_lsn, xid, time_us } = self;
        write!(f, "{xid} at {commit_lsn}, committed {time_us} us after 2000-01-01")
    }
}

/// What to do with the change that was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It is durable, or in flight.
    Skip,
    /// Its producer died before the ack: hand it out again.
    Resend(Token, Identity),
    New(Identity),
}

/// A record that has become durable: where it went, and its size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acked {
    pub lane: u32,
    pub bytes: u32,
}

/// The server does not repeat what it sent before: its history is another one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Divergence {
    #[error(
        "transaction {found} at {at} ends at {end}, past the position {position} that should lie behind it"
    )]
    Straddles { at: Lsn, found: Xid, end: Lsn, position: Lsn },
    #[error("transaction {expected} is now {found}")]
    OtherTransaction { expected: LastCommit, found: LastCommit },
    #[error("the last transaction before {position} is {found}; it was {recorded}")]
    OtherLastCommit { position: Lsn, found: LastCommit, recorded: LastCommit },
    #[error("transaction at {missing} was not sent again; the server went on with {found}")]
    NotRepeated { missing: Lsn, found: Lsn },
}

/// A frame that cannot come at this place in the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OutOfPlace {
    #[error("a transaction begins inside another")]
    BeginInside,
    #[error("a change or commit outside a transaction")]
    Outside,
    #[error("the commit does not belong to the open transaction")]
    ForeignCommit,
    #[error("a transaction ends at or before its commit record")]
    EndsTooEarly,
    #[error("more than 2^32 changes in one transaction")]
    TooManyChanges,
    #[error("a transaction has not as many changes as when it was sent before")]
    OtherLength,
}

#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    #[error(transparent)]
    Divergence(#[from] Divergence),
    #[error(transparent)]
    OutOfPlace(#[from] OutOfPlace),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    ordinal: u32,
    bytes: u32,
    lane: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    InFlight,
    Acked,
    Lost,
}

#[derive(Debug)]
struct Transaction {
    commit_lsn: Lsn,
    /// `None` when it is known from a progress record only.
    begun: Option<LastCommit>,
    /// How many leading changes have been dealt with: handed out, or nothing to hand out.
    changes: u32,
    end_token: u64,
    has_events: bool,
    /// Set when the Commit was read. Later transactions without records move it on.
    end: Option<(Lsn, LastCommit)>,
}

/// Where in the stream of the present session we are.
#[derive(Clone, Copy, Debug, Default)]
enum Cursor {
    #[default]
    Between,
    /// Inside a transaction that was dealt with before and left no trace in the queue.
    Skipping(Begin),
    Inside {
        begin: Begin,
        number: u64,
        ordinal: u32,
    },
}

impl Window {
    /// An empty window at a recorded position.
    pub fn new(limits: Limits, durable: Durable) -> Self {
        let mut transactions = VecDeque::new();
        #[cfg(test)]
        let durable = match is_planted(Planted::ForgetsOrdinal) {
            true => Durable { partial: None, ..durable },
            false => durable,
        };
        if let Some(partial) = durable.partial {
            transactions.push_back(Transaction {
                commit_lsn: partial.commit_lsn,
                begun: None,
                changes: partial.changes,
                end_token: 0,
                has_events: true,
                end: None,
            });
        }
        Self {
            limits,
            slots: VecDeque::new(),
            first: 0,
            bytes: 0,
            unacked: 0,
            lost: 0,
            transactions,
            left: 0,
            end_lsn: durable.end_lsn,
            sent_lsn: Lsn::ZERO,
            last_commit: durable.last_commit,
            last_event_lsn: durable.last_event_lsn,
            cursor: Cursor::Between,
            repeat: 0,
            skipped: None,
            compared: false,
        }
    }

    /// A new stream: the server starts again at the slot's confirmed position.
    pub fn restart(&mut self) {
        self.cursor = Cursor::Between;
        self.sent_lsn = Lsn::ZERO;
        self.repeat = self.left;
        self.skipped = None;
        self.compared = false;
    }

    pub fn durable(&self) -> Durable {
        #[cfg(test)]
        if is_planted(Planted::ConfirmsOneEarly)
            && let Some(Transaction { end: Some((end_lsn, last)), .. }) = self.transactions.front()
        {
            let last_commit = Some(*last);
            let last_event_lsn = last.commit_lsn;
            return Durable { end_lsn: *end_lsn, partial: None, last_commit, last_event_lsn };
        }
        Durable {
            end_lsn: self.end_lsn,
            partial: self.partial(),
            last_commit: self.last_commit,
            last_event_lsn: self.last_event_lsn,
        }
    }

    /// Everything that ends at or before this position is durable.
    pub fn end_lsn(&self) -> Lsn {
        self.end_lsn
    }

    /// The next token: how many records were ever handed out.
    pub fn handed_out(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// How many leading records are durable.
    pub fn durable_records(&self) -> u64 {
        self.first
    }

    /// Records whose report is still to come.
    pub fn unacked(&self) -> usize {
        self.unacked
    }

    pub fn unacked_bytes(&self) -> u64 {
        self.bytes
    }

    /// Records to be handed out again.
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// Room for at least one record more. A record larger than the limit passes alone.
    ///
    /// Lost records keep their places while they wait to be read again, so a window full of them
    /// must not stop the reading.
    pub fn has_room(&self) -> bool {
        let has_place = self.lost > 0 || self.slots.len() < self.limits.events;
        let bytes = self.bytes + self.unacked as u64 * self.limits.overhead;
        has_place && bytes < self.limits.bytes
    }

    /// Nothing read is waiting for anything: not inside a transaction, all of the queue durable.
    pub fn is_idle(&self) -> bool {
        matches!(self.cursor, Cursor::Between) && self.transactions.is_empty()
    }

    /// The transaction that the stream is inside, if any.
    pub fn open_transaction(&self) -> Option<Begin> {
        match self.cursor {
            Cursor::Between => None,
            Cursor::Skipping(begin) | Cursor::Inside { begin, .. } => Some(begin),
        }
    }

    /// Nothing of the open transaction was handed out, now or before.
    pub fn is_transaction_fresh(&self) -> bool {
        match self.cursor {
            Cursor::Inside { number, .. } => !self.transaction(number).has_events,
            Cursor::Between | Cursor::Skipping(_) => false,
        }
    }

    /// The highest commit LSN of which a record was handed out or is durable.
    pub fn last_handed_out(&self) -> Lsn {
        let queued = self.transactions.iter().rev().find(|it| it.has_events);
        queued.map_or(self.last_event_lsn, |it| it.commit_lsn)
    }

    /// When the oldest transaction that is not durable was committed; unknown while it is known
    /// from a progress record only.
    pub fn oldest_commit_time(&self) -> Option<PgTimestamp> {
        let begun = self.transactions.front()?.begun?;
        Some(PgTimestamp::from_micros(begun.time_us))
    }

    /// Some records of a transaction were handed out, and not its last: its Commit is still to come.
    pub fn is_torn(&self) -> bool {
        self.transactions.back().is_some_and(|it| it.has_events && it.end.is_none())
    }

    /// What the record of this token is of.
    pub fn identity(&self, token: Token) -> Identity {
        let index = token.0.checked_sub(self.first).expect("a record in flight");
        let at = self.transactions.partition_point(|it| it.end_token <= token.0);
        let commit_lsn = self.transactions[at].commit_lsn;
        Identity { commit_lsn, ordinal: self.slots[index as usize].ordinal }
    }

    /// The lane of a record in flight.
    pub fn lane(&self, token: Token) -> u32 {
        let index = token.0.checked_sub(self.first).expect("a record in flight");
        self.slots[index as usize].lane
    }

    pub fn begin(&mut self, begin: Begin) -> Result<(), WindowError> {
        if !matches!(self.cursor, Cursor::Between) {
            return Err(OutOfPlace::BeginInside.into());
        }
        let at = begin.final_lsn;
        if at < self.end_lsn {
            self.cursor = Cursor::Skipping(begin);
            return Ok(());
        }
        self.compare_last_commit()?;
        let index = self.transactions.partition_point(|it| it.commit_lsn < at);
        let known = self.transactions.get(index).is_some_and(|it| it.commit_lsn == at);
        if !known && self.is_merged(index, at) {
            self.cursor = Cursor::Skipping(begin);
            return Ok(());
        }
        let number = self.left + index as u64;
        let awaited = self.repeat.max(self.left);
        if number > awaited || (!known && index < self.transactions.len()) {
            let missing = self.transaction(awaited.min(number)).commit_lsn;
            return Err(Divergence::NotRepeated { missing, found: at }.into());
        }
        if known {
            self.recognise(index, begin)?;
        } else {
            self.open(begin);
        }
        self.repeat = number + 1;
        self.cursor = Cursor::Inside { begin, number, ordinal: 0 };
        Ok(())
    }

    /// What to do with the change that was just read. It counts once [`Self::pass`] or
    /// [`Self::hand_out`] was called for it; until then asking again gives the same answer.
    pub fn change(&self) -> Result<Change, OutOfPlace> {
        let (commit_lsn, number, ordinal) = match self.cursor {
            Cursor::Between => return Err(OutOfPlace::Outside),
            Cursor::Skipping(_) => return Ok(Change::Skip),
            Cursor::Inside { begin, number, ordinal } => (begin.final_lsn, number, ordinal),
        };
        let identity = Identity { commit_lsn, ordinal };
        let transaction = self.transaction(number);
        if ordinal >= transaction.changes {
            return match transaction.end {
                None => Ok(Change::New(identity)),
                Some(_) => Err(OutOfPlace::OtherLength),
            };
        }
        if self.lost == 0 {
            return Ok(Change::Skip);
        }
        Ok(match self.slot_of(number, ordinal) {
            Some(index) if self.slots[index].state == State::Lost => {
                Change::Resend(Token(self.first + index as u64), identity)
            }
            _ => Change::Skip,
        })
    }

    /// The change needs no record, or needs none again.
    pub fn pass(&mut self) -> Result<(), OutOfPlace> {
        if let Cursor::Inside { number, ordinal, .. } = &mut self.cursor {
            let next = ordinal.checked_add(1).ok_or(OutOfPlace::TooManyChanges)?;
            *ordinal = next;
            let transaction = &mut self.transactions[(*number - self.left) as usize];
            transaction.changes = transaction.changes.max(next);
        }
        Ok(())
    }

    /// The change becomes a record on `lane`. Only after [`Change::New`].
    pub fn hand_out(&mut self, bytes: u32, lane: u32) -> Result<Token, OutOfPlace> {
        let Cursor::Inside { number, ordinal, .. } = self.cursor else {
            return Err(OutOfPlace::Outside);
        };
        let token = self.handed_out();
        self.slots.push_back(Slot { ordinal, bytes, lane, state: State::InFlight });
        self.unacked += 1;
        self.bytes += u64::from(bytes);
        let index = (number - self.left) as usize;
        let transaction = &mut self.transactions[index];
        transaction.end_token = token + 1;
        transaction.has_events = true;
        self.pass()?;
        Ok(Token(token))
    }

    /// The change is handed out again under its old token. Only after [`Change::Resend`].
    pub fn hand_out_again(&mut self, token: Token, lane: u32) -> Result<(), OutOfPlace> {
        let slot = self.slot_mut(token);
        assert_eq!(slot.state, State::Lost, "only a lost record is handed out again");
        slot.state = State::InFlight;
        slot.lane = lane;
        let bytes = u64::from(slot.bytes);
        self.bytes += bytes;
        self.unacked += 1;
        self.lost -= 1;
        self.pass()
    }

    pub fn commit(&mut self, commit: Commit) -> Result<(), WindowError> {
        if commit.end_lsn <= commit.commit_lsn {
            return Err(OutOfPlace::EndsTooEarly.into());
        }
        let begin = self.open_transaction().ok_or(OutOfPlace::Outside)?;
        if begin.final_lsn != commit.commit_lsn {
            return Err(OutOfPlace::ForeignCommit.into());
        }
        if let Cursor::Inside { number, ordinal, .. } = self.cursor {
            if ordinal < self.transaction(number).changes {
                return Err(OutOfPlace::OtherLength.into());
            }
            self.close(begin, number, commit.end_lsn);
        } else {
            self.skip(begin, commit.end_lsn)?;
        }
        self.cursor = Cursor::Between;
        self.settle();
        Ok(())
    }

    /// The record is durable.
    pub fn ack(&mut self, token: Token) -> Acked {
        let slot = self.slot_mut(token);
        assert_eq!(slot.state, State::InFlight, "one report for each record handed out");
        slot.state = State::Acked;
        let Slot { bytes, lane, .. } = *slot;
        self.bytes -= u64::from(bytes);
        self.unacked -= 1;
        if token.0 == self.first {
            while self.slots.front().is_some_and(|slot| slot.state == State::Acked) {
                self.slots.pop_front();
                self.first += 1;
            }
            self.settle();
        }
        Acked { lane, bytes }
    }

    /// The producer died before the record was acknowledged. Gives the lane it went to.
    pub fn lose(&mut self, token: Token) -> u32 {
        let slot = self.slot_mut(token);
        assert_eq!(slot.state, State::InFlight, "one report for each record handed out");
        slot.state = State::Lost;
        let (bytes, lane) = (u64::from(slot.bytes), slot.lane);
        self.bytes -= bytes;
        self.unacked -= 1;
        self.lost += 1;
        lane
    }

    /// The server has sent all that was committed up to `wal_end`, unless it says so inside a
    /// transaction. Moves the position now, or when all that is in flight is durable: to a client
    /// that has received everything the server says it only once.
    pub fn advance_idle(&mut self, wal_end: Lsn) {
        #[cfg(test)]
        if is_planted(Planted::ConfirmsInside) {
            self.end_lsn = self.end_lsn.max(wal_end);
        }
        if matches!(self.cursor, Cursor::Between) {
            self.sent_lsn = self.sent_lsn.max(wal_end);
            self.settle();
        }
    }

    fn recognise(&mut self, index: usize, begin: Begin) -> Result<(), Divergence> {
        let found = LastCommit::from(begin);
        let expected = *self.transactions[index].begun.get_or_insert(found);
        if expected == found {
            return Ok(());
        }
        Err(Divergence::OtherTransaction { expected, found })
    }

    fn open(&mut self, begin: Begin) {
        self.transactions.push_back(Transaction {
            commit_lsn: begin.final_lsn,
            begun: Some(begin.into()),
            changes: 0,
            end_token: self.handed_out(),
            has_events: false,
            end: None,
        });
    }

    /// Whether a transaction that would stand at `index` of the queue lies before the end of its
    /// predecessor: it had no records, and the predecessor's end was moved over it.
    fn is_merged(&self, index: usize, at: Lsn) -> bool {
        let Some(previous) = index.checked_sub(1) else { return false };
        self.transactions[previous].end.is_some_and(|(end, _)| at < end)
    }

    fn transaction(&self, number: u64) -> &Transaction {
        &self.transactions[(number - self.left) as usize]
    }

    /// The slot of a change of the transaction, unless it is durable or never had one.
    fn slot_of(&self, number: u64, ordinal: u32) -> Option<usize> {
        let index = (number - self.left) as usize;
        let start = match index.checked_sub(1) {
            Some(previous) => self.transactions[previous].end_token.saturating_sub(self.first),
            None => 0,
        };
        let end = self.transactions[index].end_token.saturating_sub(self.first);
        let (mut low, mut high) = (start as usize, end as usize);
        while low < high {
            let middle = low.midpoint(high);
            match self.slots[middle].ordinal.cmp(&ordinal) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn slot_mut(&mut self, token: Token) -> &mut Slot {
        let index = token.0.checked_sub(self.first).expect("a report for a record already settled");
        &mut self.slots[index as usize]
    }

    /// How far into the first transaction of the queue everything is durable. Nothing is said of a
    /// transaction without records: reading it again costs nothing, while a recorded identity stands
    /// for something that left the database.
    fn partial(&self) -> Option<Partial> {
        let front = self.transactions.front().filter(|it| it.has_events)?;
        let changes = match self.slots.front() {
            Some(slot) if self.first < front.end_token => slot.ordinal,
            _ => front.changes,
        };
        (changes > 0).then_some(Partial { commit_lsn: front.commit_lsn, changes })
    }

    fn skip(&mut self, begin: Begin, end: Lsn) -> Result<(), Divergence> {
        let (at, found) = (begin.final_lsn, begin.xid);
        if at < self.end_lsn && end > self.end_lsn {
            return Err(Divergence::Straddles { at, found, end, position: self.end_lsn });
        }
        self.skipped = Some(begin.into());
        Ok(())
    }

    fn compare_last_commit(&mut self) -> Result<(), Divergence> {
        if std::mem::replace(&mut self.compared, true) {
            return Ok(());
        }
        let (Some(found), Some(recorded)) = (self.skipped, self.last_commit) else {
            return Ok(());
        };
        if found == recorded {
            return Ok(());
        }
        Err(Divergence::OtherLastCommit { position: self.end_lsn, found, recorded })
    }

    fn close(&mut self, begin: Begin, number: u64, end_lsn: Lsn) {
        let last = LastCommit::from(begin);
        let index = (number - self.left) as usize;
        let transaction = &mut self.transactions[index];
        if transaction.end.is_some() {
            return;
        }
        transaction.end = Some((end_lsn, last));
        if transaction.has_events {
            return;
        }
        if let Some(previous) = index.checked_sub(1) {
            self.transactions[previous].end = Some((end_lsn, last));
            self.transactions.truncate(index);
        }
    }

    /// Moves the position over what has become durable at the front of the queue.
    fn settle(&mut self) {
        while let Some(front) = self.transactions.front() {
            let Some((end_lsn, last)) = front.end else { break };
            if front.end_token > self.first {
                break;
            }
            if front.has_events {
                self.last_event_lsn = front.commit_lsn;
            }
            debug_assert!(end_lsn > self.end_lsn, "positions rise");
            self.end_lsn = end_lsn;
            self.last_commit = Some(last);
            if let Cursor::Inside { begin, number, .. } = self.cursor
                && number == self.left
            {
                self.cursor = Cursor::Skipping(begin);
            }
            self.transactions.pop_front();
            self.left += 1;
        }
        if self.is_idle() {
            self.end_lsn = self.end_lsn.max(self.sent_lsn);
        }
    }
}
