//! The broker that keeps the transactions of one transactional id.

use std::collections::VecDeque;

use super::chance::Chance;
use super::cluster::{Lane, Sent};

#[derive(Default)]
pub(super) struct Coordinator {
    /// The only producer that may write: the last that was initialised.
    owner: Option<u64>,
    /// What its open transaction holds. Nobody sees it.
    open: Vec<(Lane, Sent)>,
    /// On their way: the end of the transaction of this producer.
    pub(super) wire: VecDeque<(u64, End)>,
    pub(super) answers: VecDeque<(u64, Ended)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Commit,
    Abort,
    /// Sent again, because the first answer was late. It is not waited for.
    CommitAgain,
}

/// What the producer is told of its commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    Committed,
    /// It took so long that it may have been asked for twice.
    CommittedLate,
    /// Or not known.
    Failed,
}

impl Coordinator {
    /// Aborts what is open and shuts all other producers out.
    pub(super) fn initialise(&mut self, producer: u64) {
        self.owner = Some(producer);
        self.open.clear();
    }

    pub(super) fn is_owner(&self, producer: u64) -> bool {
        self.owner == Some(producer)
    }

    pub(super) fn write(&mut self, lane: Lane, batch: Vec<Sent>) {
        self.open.extend(batch.into_iter().map(|sent| (lane, sent)));
    }

    pub(super) fn forget_open(&mut self) {
        self.open.clear();
    }

    /// The oldest end arrives. Gives what becomes visible by it.
    pub(super) fn process(&mut self, fate: Fate) -> Vec<(Lane, Sent)> {
        let Some((producer, end)) = self.wire.pop_front() else { return Vec::new() };
        if !self.is_owner(producer) {
            if end == End::Commit {
                self.answers.push_back((producer, Ended::Failed));
            }
            return Vec::new();
        }
        let ended = match (end, fate) {
            (End::Abort, _) => {
                self.open.clear();
                return Vec::new();
            }
            (End::CommitAgain, _) => return std::mem::take(&mut self.open),
            (End::Commit, Fate::Committed) => Ended::Committed,
            (End::Commit, Fate::Late) => {
                self.wire.push_back((producer, End::CommitAgain));
                Ended::CommittedLate
            }
            (End::Commit, Fate::AnswerLost | Fate::Lost) => Ended::Failed,
        };
        self.answers.push_back((producer, ended));
        if fate == Fate::Lost { Vec::new() } else { std::mem::take(&mut self.open) }
    }
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Committed,
    /// So late that it was asked for again.
    Late,
    AnswerLost,
    Lost,
}

impl Fate {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        match chance.below(12) {
            0 => Self::Late,
            1 => Self::AnswerLost,
            2 => Self::Lost,
            _ => Self::Committed,
        }
    }
}
