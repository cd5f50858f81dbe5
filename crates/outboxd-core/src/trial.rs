//! Which record of a refused batch is the one at fault.
//!
//! A broker refuses batches, not records: the report of each names a candidate. With the new
//! producer the candidates are sent one per request, in order and with nothing else in flight; the
//! one that is refused alone is poison.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::Token;
use crate::stop::RecordError;

#[derive(Debug, Default)]
pub struct Trials {
    candidates: BTreeSet<Token>,
    /// The one under way. Nothing else may be sent until its report is in.
    alone: Option<Token>,
    poison: BTreeMap<Token, RecordError>,
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
    /// Nothing is known of the tokens that follow.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn is_idle(&self) -> bool {
        self.alone.is_none() && self.candidates.is_empty() && self.poison.is_empty()
    }

    /// How the lost record of this token, or a new one, may be sent now.
    pub fn judge(&self, token: Option<Token>, in_flight: usize) -> Verdict {
        if self.alone.is_some() {
            return Verdict::Wait;
        }
        let Some(token) = token else { return Verdict::Send };
        if let Some(error) = self.poison.get(&token) {
            return Verdict::Poison(error.clone());
        }
        match (self.candidates.contains(&token), in_flight) {
            (false, _) => Verdict::Send,
            (true, 0) => Verdict::SendAlone,
            (true, _) => Verdict::Wait,
        }
    }

    /// It is sent with nothing else in flight.
    pub fn sent_alone(&mut self, token: Token) {
        self.alone = Some(token);
    }

    /// It is durable, in one way or another.
    pub fn settled(&mut self, token: Token) {
        if self.is_idle() {
            return;
        }
        self.lost(token);
        self.candidates.remove(&token);
        self.poison.remove(&token);
    }

    /// Its producer died under it, which says nothing about the record.
    pub fn lost(&mut self, token: Token) {
        if self.alone == Some(token) {
            self.alone = None;
        }
    }

    /// Kafka has refused its batch. `true`: it was alone in it.
    pub fn refused(&mut self, token: Token, error: &RecordError) -> bool {
        let alone = self.alone == Some(token);
        self.lost(token);
        if alone {
            self.candidates.remove(&token);
            self.poison.insert(token, error.clone());
        } else {
            self.candidates.insert(token);
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

    #[test]
    fn candidates_are_sent_alone_and_the_one_refused_alone_is_poison() {
        let mut trials = Trials::default();
        for token in [3, 4, 5] {
            assert!(!trials.refused(Token(token), &error()));
        }
        assert_eq!(trials.judge(Some(Token(2)), 7), Verdict::Send);
        assert_eq!(trials.judge(Some(Token(3)), 1), Verdict::Wait);
        assert_eq!(trials.judge(Some(Token(3)), 0), Verdict::SendAlone);
        trials.sent_alone(Token(3));
        assert_eq!(trials.judge(Some(Token(4)), 0), Verdict::Wait);
        assert_eq!(trials.judge(None, 0), Verdict::Wait);
        trials.settled(Token(3));
        assert_eq!(trials.judge(Some(Token(4)), 0), Verdict::SendAlone);
        trials.sent_alone(Token(4));
        assert!(trials.refused(Token(4), &error()));
        assert_eq!(trials.judge(Some(Token(4)), 0), Verdict::Poison(error()));
        assert_eq!(trials.judge(Some(Token(5)), 0), Verdict::SendAlone);
        trials.settled(Token(4));
        trials.settled(Token(5));
        assert!(trials.is_idle());
    }

    #[test]
    fn a_trial_cut_short_says_nothing() {
        let mut trials = Trials::default();
        trials.refused(Token(1), &error());
        trials.sent_alone(Token(1));
        trials.lost(Token(1));
        assert_eq!(trials.judge(Some(Token(1)), 0), Verdict::SendAlone);
    }
}
