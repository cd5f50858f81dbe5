//! Which record of a refused batch is the one at fault.
//!
//! A broker refuses batches, not records: the report of each names a candidate. With the new
//! producer the candidates are sent one per request, in order and with nothing else in flight; the
//! one that is refused alone is poison. They are known by identity, which holds when the window is
//! built anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::lsn::Lsn;
use crate::record::Identity;
use crate::stop::RecordError;

#[derive(Debug, Default)]
pub struct Trials {
    candidates: BTreeSet<Identity>,
    /// The one under way. Nothing else may be sent until its report is in.
    alone: Option<Identity>,
    poison: BTreeMap<Identity, RecordError>,
}

/// How a record may be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    Send,
    /// With nothing before it in flight and nothing after it.
    SendAlone,
    /// Not before a report.
    Wait,
    /// Never.
    Poison(RecordError),
}

impl Trials {
    /// What was learned of another timeline says nothing.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Everything before this position is durable, if by another relay.
    pub fn forget_before(&mut self, position: Lsn) {
        self.candidates.retain(|at| at.commit_lsn >= position);
        self.poison.retain(|at, _| at.commit_lsn >= position);
    }

    pub fn is_idle(&self) -> bool {
        self.alone.is_none() && self.candidates.is_empty() && self.poison.is_empty()
    }

    /// How the record of this identity may be sent now.
    pub fn judge(&self, at: Identity, in_flight: usize) -> Verdict {
        if self.alone.is_some() {
            return Verdict::Wait;
        }
        if let Some(error) = self.poison.get(&at) {
            return Verdict::Poison(error.clone());
        }
        match (self.candidates.contains(&at), in_flight) {
            (false, _) => Verdict::Send,
            (true, 0) => Verdict::SendAlone,
            (true, _) => Verdict::Wait,
        }
    }

    /// It is sent with nothing else in flight.
    pub fn sent_alone(&mut self, at: Identity) {
        self.alone = Some(at);
    }

    /// It is durable, in one way or another.
    pub fn settled(&mut self, at: Identity) {
        self.lost(at);
        self.candidates.remove(&at);
        self.poison.remove(&at);
    }

    /// Its producer died under it, which says nothing about the record.
    pub fn lost(&mut self, at: Identity) {
        if self.alone == Some(at) {
            self.alone = None;
        }
    }

    /// Kafka has refused its batch. `true`: it was alone in it.
    pub fn refused(&mut self, at: Identity, error: &RecordError) -> bool {
        let alone = self.alone == Some(at);
        self.lost(at);
        if alone {
            self.candidates.remove(&at);
            self.poison.insert(at, error.clone());
        } else {
            self.candidates.insert(at);
        }
        alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::RecordErrorKind;

    fn error() -> RecordError {
        RecordError {
            kind: RecordErrorKind::RecordTooLarge,
            event_id: None,
            topic: None,
            key: None,
            message: "too large".to_owned(),
        }
    }

    fn at(ordinal: u32) -> Identity {
        Identity { commit_lsn: Lsn::new(0x100), ordinal }
    }

    #[test]
    fn candidates_are_sent_alone_and_the_one_refused_alone_is_poison() {
        let mut trials = Trials::default();
        for ordinal in [3, 4, 5] {
            assert!(!trials.refused(at(ordinal), &error()));
        }
        assert_eq!(trials.judge(at(2), 7), Verdict::Send);
        assert_eq!(trials.judge(at(3), 1), Verdict::Wait);
        assert_eq!(trials.judge(at(3), 0), Verdict::SendAlone);
        trials.sent_alone(at(3));
        assert_eq!(trials.judge(at(4), 0), Verdict::Wait);
        assert_eq!(trials.judge(at(6), 0), Verdict::Wait);
        trials.settled(at(3));
        assert_eq!(trials.judge(at(4), 0), Verdict::SendAlone);
        trials.sent_alone(at(4));
        assert!(trials.refused(at(4), &error()));
        assert_eq!(trials.judge(at(4), 0), Verdict::Poison(error()));
        assert_eq!(trials.judge(at(5), 0), Verdict::SendAlone);
        trials.settled(at(4));
        trials.settled(at(5));
        assert!(trials.is_idle());
    }

    #[test]
    fn a_trial_cut_short_says_nothing() {
        let mut trials = Trials::default();
        trials.refused(at(1), &error());
        trials.sent_alone(at(1));
        trials.lost(at(1));
        assert_eq!(trials.judge(at(1), 0), Verdict::SendAlone);
    }

    #[test]
    fn what_lies_before_the_position_is_of_no_interest_any_more() {
        let mut trials = Trials::default();
        trials.refused(at(1), &error());
        trials.forget_before(Lsn::new(0x100));
        assert_eq!(trials.judge(at(1), 0), Verdict::SendAlone);
        trials.forget_before(Lsn::new(0x101));
        assert!(trials.is_idle());
    }
}
