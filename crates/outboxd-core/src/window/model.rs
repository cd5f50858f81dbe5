//! What the window promises, computed the slow way: a list of everything the server ever committed
//! and the fate of each change, from which every answer is worked out anew. No queue, no counters.

use super::{Change, Durable, LastCommit, Partial};
use crate::lsn::Lsn;
use crate::pgoutput::{Begin, Commit, Xid};
use crate::record::{Identity, Token};
use crate::time::PgTimestamp;

/// A transaction as the server holds it.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) begin: Begin,
    pub(super) commit: Commit,
    /// For each change: whether it is an event.
    pub(super) events: Vec<bool>,
}

/// What became of one change in this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Untouched,
    /// Read, and nothing to hand out.
    Passed,
    InFlight(u64),
    Acked,
    Lost(u64),
}

/// The next frame of the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Frame {
    Begin(usize),
    Change(usize, usize),
    Commit(usize),
    /// All that was committed has been sent.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) history: Vec<Committed>,
    pub(super) fates: Vec<Vec<Fate>>,
    /// Whether the Begin and the Commit of each transaction were read in this process.
    begun: Vec<bool>,
    done_reading: Vec<bool>,
    pub(super) next: Frame,
    /// The position at the start of this process.
    base: Durable,
    /// The highest keepalive between the transactions of this stream.
    sent: Lsn,
    /// The highest that counted.
    idle: Lsn,
    tokens: u64,
}

impl Model {
    pub(super) fn new(history: Vec<Committed>) -> Self {
        let mut model = Self {
            fates: history.iter().map(|it| vec![Fate::Untouched; it.events.len()]).collect(),
            begun: Vec::new(),
            done_reading: Vec::new(),
            history,
            next: Frame::Nothing,
            base: Durable::default(),
            sent: Lsn::ZERO,
            idle: Lsn::ZERO,
            tokens: 0,
        };
        model.restart_process(Durable::default());
        model.restart_stream(0);
        model
    }

    /// A new process knows what was recorded, and nothing else.
    pub(super) fn restart_process(&mut self, recorded: Durable) {
        for (index, committed) in self.history.iter().enumerate() {
            let known = match recorded.partial {
                _ if committed.commit.end_lsn <= recorded.end_lsn => committed.events.len(),
                Some(it) if it.commit_lsn == committed.commit.commit_lsn => it.changes as usize,
                _ => 0,
            };
            for (ordinal, fate) in self.fates[index].iter_mut().enumerate() {
                *fate = if ordinal < known { Fate::Acked } else { Fate::Untouched };
            }
        }
        self.begun = vec![false; self.history.len()];
        self.done_reading = vec![false; self.history.len()];
        self.base = recorded;
        self.idle = Lsn::ZERO;
        self.tokens = 0;
    }

    /// The server sends everything from this transaction on.
    pub(super) fn restart_stream(&mut self, from: usize) {
        self.sent = Lsn::ZERO;
        self.next = if from < self.history.len() { Frame::Begin(from) } else { Frame::Nothing };
    }

    /// The frame was dealt with.
    pub(super) fn step(&mut self) {
        self.next = match self.next {
            Frame::Begin(index) => {
                self.begun[index] |= !self.is_before_base(index);
                self.change_or_commit(index, 0)
            }
            Frame::Change(index, ordinal) => self.change_or_commit(index, ordinal + 1),
            Frame::Commit(index) => {
                self.done_reading[index] |= !self.is_before_base(index);
                if index + 1 < self.history.len() {
                    Frame::Begin(index + 1)
                } else {
                    Frame::Nothing
                }
            }
            Frame::Nothing => Frame::Nothing,
        };
    }

    pub(super) fn hand_out(&mut self, index: usize, ordinal: usize) -> Token {
        let token = self.tokens;
        self.tokens += 1;
        self.fates[index][ordinal] = Fate::InFlight(token);
        Token(token)
    }

    /// What a keepalive says: everything committed before this was sent.
    pub(super) fn keepalive(&mut self, wal_end: Lsn) {
        if self.open_transaction().is_none() {
            self.sent = self.sent.max(wal_end);
        }
    }

    /// To be called after every step: what was said counts once nothing is open.
    pub(super) fn settle(&mut self) {
        if self.is_idle() {
            self.idle = self.idle.max(self.sent);
        }
    }

    /// How far a keepalive may reach now: the place of the next commit record.
    pub(super) fn sent_up_to(&self) -> Lsn {
        match self.next {
            Frame::Begin(index) | Frame::Change(index, _) | Frame::Commit(index) => {
                self.history[index].commit.commit_lsn
            }
            Frame::Nothing => self.end_of_history(),
        }
    }

    pub(super) fn end_of_history(&self) -> Lsn {
        self.history.last().map_or(Lsn::ZERO, |it| it.commit.end_lsn)
    }

    pub(super) fn expected_change(&self, index: usize, ordinal: usize) -> Change {
        let commit_lsn = self.history[index].commit.commit_lsn;
        let identity = Identity { commit_lsn, ordinal: ordinal as u32 };
        match self.fates[index][ordinal] {
            Fate::Untouched => Change::New(identity),
            Fate::Lost(token) => Change::Resend(Token(token), identity),
            Fate::Passed | Fate::InFlight(_) | Fate::Acked => Change::Skip,
        }
    }

    pub(super) fn durable(&self) -> Durable {
        let mut durable = Durable { partial: None, ..self.base };
        for index in 0..self.history.len() {
            if self.is_before_base(index) {
                continue;
            }
            if !self.is_durable(index) {
                durable.partial = self.partial(index);
                break;
            }
            let Committed { begin, commit, .. } = &self.history[index];
            durable.end_lsn = commit.end_lsn;
            durable.last_commit = Some(LastCommit {
                commit_lsn: commit.commit_lsn,
                xid: begin.xid.0,
                time_us: begin.commit_time.as_micros(),
            });
            if self.has_events(index) {
                durable.last_event_lsn = commit.commit_lsn;
            }
        }
        durable.end_lsn = durable.end_lsn.max(self.idle);
        durable
    }

    pub(super) fn is_idle(&self) -> bool {
        !matches!(self.next, Frame::Change(..) | Frame::Commit(_)) && self.oldest_open().is_none()
    }

    pub(super) fn open_transaction(&self) -> Option<Begin> {
        match self.next {
            Frame::Change(index, _) | Frame::Commit(index) => Some(self.history[index].begin),
            Frame::Begin(_) | Frame::Nothing => None,
        }
    }

    pub(super) fn oldest_commit_time(&self) -> Option<PgTimestamp> {
        let oldest = self.oldest_open()?;
        self.begun[oldest].then(|| self.history[oldest].begin.commit_time)
    }

    pub(super) fn last_handed_out(&self) -> Lsn {
        let handed_out = (0..self.history.len())
            .rev()
            .find(|&index| !self.is_before_base(index) && self.has_events(index));
        let newest = handed_out.map(|index| self.history[index].commit.commit_lsn);
        newest.unwrap_or(self.base.last_event_lsn)
    }

    pub(super) fn in_flight(&self) -> Vec<(usize, usize, Token)> {
        self.all_fates()
            .filter_map(|(index, ordinal, fate)| match fate {
                Fate::InFlight(token) => Some((index, ordinal, Token(token))),
                _ => None,
            })
            .collect()
    }

    pub(super) fn lost(&self) -> usize {
        self.all_fates().filter(|(.., fate)| matches!(fate, Fate::Lost(_))).count()
    }

    pub(super) fn handed_out(&self) -> u64 {
        self.tokens
    }

    /// Records before the first that is not acked.
    pub(super) fn durable_records(&self) -> u64 {
        let waiting = self.all_fates().filter_map(|(.., fate)| match fate {
            Fate::InFlight(token) | Fate::Lost(token) => Some(token),
            _ => None,
        });
        waiting.min().unwrap_or(self.tokens)
    }

    /// How many leading transactions end at or before the position.
    pub(super) fn ended_by(&self, position: Lsn) -> usize {
        self.history.iter().take_while(|it| it.commit.end_lsn <= position).count()
    }

    fn change_or_commit(&self, index: usize, ordinal: usize) -> Frame {
        if ordinal < self.history[index].events.len() {
            Frame::Change(index, ordinal)
        } else {
            Frame::Commit(index)
        }
    }

    fn is_before_base(&self, index: usize) -> bool {
        self.history[index].commit.end_lsn <= self.base.end_lsn
    }

    fn is_durable(&self, index: usize) -> bool {
        let settled = |fate: &Fate| matches!(fate, Fate::Passed | Fate::Acked);
        self.done_reading[index] && self.fates[index].iter().all(settled)
    }

    /// The first transaction that was begun, or is half recorded, and is not durable.
    fn oldest_open(&self) -> Option<usize> {
        (0..self.history.len()).find(|&index| {
            let known = self.begun[index] || self.is_recorded_partial(index);
            known && !self.is_before_base(index) && !self.is_durable(index)
        })
    }

    fn partial(&self, index: usize) -> Option<Partial> {
        let settled = |fate: &&Fate| matches!(fate, Fate::Passed | Fate::Acked);
        let changes = self.fates[index].iter().take_while(settled).count() as u32;
        let commit_lsn = self.history[index].commit.commit_lsn;
        (changes > 0 && self.has_events(index)).then_some(Partial { commit_lsn, changes })
    }

    /// Whether an event of it was handed out. Of a transaction that is half recorded that is
    /// assumed: the record does not say.
    fn has_events(&self, index: usize) -> bool {
        let handed_out =
            |fate: &Fate| matches!(fate, Fate::InFlight(_) | Fate::Acked | Fate::Lost(_));
        self.is_recorded_partial(index) || self.fates[index].iter().any(handed_out)
    }

    fn is_recorded_partial(&self, index: usize) -> bool {
        let commit_lsn = self.history[index].commit.commit_lsn;
        self.base.partial.is_some_and(|it| it.commit_lsn == commit_lsn)
    }

    fn all_fates(&self) -> impl Iterator<Item = (usize, usize, Fate)> + '_ {
        let per_transaction = self.fates.iter().enumerate();
        per_transaction.flat_map(|(index, fates)| {
            fates.iter().enumerate().map(move |(ordinal, fate)| (index, ordinal, *fate))
        })
    }
}

/// Lays transactions out in the log. Of each: the gap before its commit record (0: it stands right
/// behind the former commit), the length of that record, and its changes.
pub(super) fn history(shapes: Vec<(u64, u64, Vec<bool>)>) -> Vec<Committed> {
    let mut at = 10;
    let lay_out = |(index, (gap, length, events)): (usize, (u64, u64, Vec<bool>))| {
        let commit_lsn = Lsn::new(at + gap);
        at += gap + length;
        let commit_time = PgTimestamp::from_micros(index as i64 * 1000);
        Committed {
            begin: Begin { final_lsn: commit_lsn, commit_time, xid: Xid(700 - index as u32) },
            commit: Commit { commit_lsn, end_lsn: Lsn::new(at), commit_time },
            events,
        }
    };
    shapes.into_iter().enumerate().map(lay_out).collect()
}
