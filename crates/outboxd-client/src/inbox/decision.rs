//! What becomes of a message: pure, so that databases and memory decide alike.

use std::time::Duration;

/// State of a row, as it stands in the column `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Leased.
    Processing,
    Completed,
    Failed,
    Dead,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Dead => "DEAD",
        }
    }

    #[cfg(any(test, feature = "tokio-postgres"))]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Processing, Self::Completed, Self::Failed, Self::Dead];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// What is known of a message that has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) state: State,
    pub(crate) attempts: u32,
    /// FAILED: it may be tried again. PROCESSING: its lease is over.
    pub(crate) due: bool,
    /// An earlier message of its key is not through, and the order of keys is kept.
    pub(crate) behind: bool,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Run {
        attempt: u32,
    },
    Duplicate,
    /// Not yet: its time has not come, or an earlier one of its key comes first.
    Wait,
    /// Somebody else has it on lease.
    Busy,
    /// It was given up.
    Dead,
    /// It has been begun too often without an end, and is given up now.
    GiveUp,
}

pub(crate) fn judge(known: Known, attempts_max: u32) -> Verdict {
    match known.state {
        State::Completed => Verdict::Duplicate,
        State::Dead => Verdict::Dead,
        State::Processing if !known.due => Verdict::Busy,
        State::Failed if !known.due || known.behind => Verdict::Wait,
        State::Processing | State::Failed if known.attempts >= attempts_max => Verdict::GiveUp,
        State::Processing | State::Failed => Verdict::Run { attempt: known.attempts + 1 },
    }
}

/// What comes after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    Retry(Duration),
    GiveUp,
}

/// `dice` is drawn anew each time, from 0 to 1.
pub(crate) fn after_failure(attempt: u32, retry: &Retry, dice: f64) -> AfterFailure {
    if attempt >= retry.attempts_max {
        return AfterFailure::GiveUp;
    }
    AfterFailure::Retry(retry.delay(attempt, dice))
}

/// How often and when a message that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Retry {
    pub(crate) attempts_max: u32,
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// Anything between nothing and the delay, so that what failed together is not tried together.
    pub(crate) jitter: bool,
}

impl Default for Retry {
    fn default() -> Self {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(300));
        Self { attempts_max: 5, first, longest, jitter: false }
    }
}

impl Retry {
    /// The delay after that many attempts: doubles with each of them.
    fn delay(&self, attempt: u32, dice: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(DOUBLINGS_MAX);
        let delay = self.first.saturating_mul(1 << doublings).min(self.longest);
        if self.jitter { delay.mul_f64(dice.clamp(0.0, 1.0)) } else { delay }
    }
}

/// Whether a sequence lies past a watermark, compared as text: what Postgres does in its own words.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn is_past(watermark: Option<&str>, sequence: &str) -> bool {
    watermark.is_none_or(|watermark| sequence > watermark)
}

const DOUBLINGS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn known(state: State, attempts: u32, due: bool) -> Known {
        Known { state, attempts, due, behind: false }
    }

    #[test]
    fn each_state_has_its_verdict() {
        assert_eq!(judge(known(State::Completed, 1, true), 5), Verdict::Duplicate);
        assert_eq!(judge(known(State::Dead, 5, true), 5), Verdict::Dead);
        assert_eq!(judge(known(State::Failed, 2, false), 5), Verdict::Wait);
        assert_eq!(judge(known(State::Failed, 2, true), 5), Verdict::Run { attempt: 3 });
        assert_eq!(judge(known(State::Processing, 1, false), 5), Verdict::Busy);
        assert_eq!(judge(known(State::Processing, 1, true), 5), Verdict::Run { attempt: 2 });
    }

    #[test]
    fn who_never_came_to_an_end_is_given_up() {
        assert_eq!(judge(known(State::Failed, 5, true), 5), Verdict::GiveUp);
        assert_eq!(judge(known(State::Processing, 5, true), 5), Verdict::GiveUp);
        assert_eq!(judge(known(State::Processing, 5, false), 5), Verdict::Busy);
    }

    #[test]
    fn what_is_due_waits_behind_its_key() {
        let behind = Known { behind: true, ..known(State::Failed, 0, true) };
        assert_eq!(judge(behind, 5), Verdict::Wait);
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let retry = Retry { attempts_max: u32::MAX, ..Retry::default() };
        let seconds = |attempt| match after_failure(attempt, &retry, 0.5) {
            AfterFailure::Retry(delay) => delay.as_secs(),
            AfterFailure::GiveUp => panic!("given up at {attempt}"),
        };
        let delays: Vec<_> = [1, 2, 3, 4, 9, 10, 1_000_000].map(seconds).into();
        assert_eq!(delays, [1, 2, 4, 8, 256, 300, 300]);
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        let retry = Retry { attempts_max: 2, ..Retry::default() };
        assert_eq!(after_failure(1, &retry, 0.0), AfterFailure::Retry(Duration::from_secs(1)));
        assert_eq!(after_failure(2, &retry, 0.0), AfterFailure::GiveUp);
    }

    #[test]
    fn jitter_takes_any_part_of_the_delay() {
        let retry = Retry { jitter: true, ..Retry::default() };
        let delay = |dice| after_failure(2, &retry, dice);
        assert_eq!(delay(0.0), AfterFailure::Retry(Duration::ZERO));
        assert_eq!(delay(0.5), AfterFailure::Retry(Duration::from_secs(1)));
        assert_eq!(delay(1.0), AfterFailure::Retry(Duration::from_secs(2)));
    }

    #[test]
    fn sequences_compare_as_text_and_an_equal_one_is_not_past() {
        let first = "0001-00000000016B3748-00000002";
        assert!(is_past(None, first));
        assert!(!is_past(Some(first), first));
        assert!(is_past(Some(first), "0001-00000000016B3748-00000003"));
        assert!(is_past(Some(first), "0002-0000000000000001-00000000"));
        assert!(!is_past(Some(first), "0001-00000000016B3747-FFFFFFFF"));
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in [State::Processing, State::Completed, State::Failed, State::Dead] {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("completed"), None);
    }
}
