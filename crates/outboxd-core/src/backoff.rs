//! How long to wait before the next attempt.
//!
//! Full jitter: anything between nothing and a bound that doubles with each failure, so that relays
//! that lost the same server do not come back together. Whatever the dice say, two attempts are
//! never less than half a second apart.

use std::time::Duration;

use crate::time::Tick;

#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// Attempts that failed since the last success.
    failures: u32,
    attempted_at: Option<Tick>,
    at_least: Duration,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, attempted_at: None, at_least: Duration::ZERO }
    }

    /// Begins an attempt; gives how long it has to wait. The first one of all does not. `dice` is
    /// drawn anew each time, evenly from all numbers.
    pub fn attempt(&mut self, now: Tick, dice: u32) -> Duration {
        let wait = match self.attempted_at {
            None => Duration::ZERO,
            Some(at) => {
                let jitter = self.bound().mul_f64(f64::from(dice) / f64::from(u32::MAX));
                let spacing = SPACING.saturating_sub(now.since(at));
                jitter.max(spacing).max(std::mem::take(&mut self.at_least))
            }
        };
        self.failures = self.failures.saturating_add(1);
        self.attempted_at = Some(now + wait);
        wait
    }

    /// What is lost after this is tried again at once.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A standby lost its place in the queue. The active relay may have lost its session as well,
    /// and comes first.
    pub fn stand_back(&mut self) {
        self.at_least = STAND_BACK;
    }

    fn bound(&self) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else { return Duration::ZERO };
        self.first.saturating_mul(1 << doublings.min(DOUBLINGS_MAX)).min(self.longest)
    }
}

/// At most two attempts a second.
const SPACING: Duration = Duration::from_millis(500);
const STAND_BACK: Duration = Duration::from_secs(2);
const DOUBLINGS_MAX: u32 = 30;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30);

    fn at(millis: u64) -> Tick {
        Tick::new(Duration::from_millis(millis))
    }

    #[test]
    fn the_bound_doubles_and_a_success_begins_anew() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let mut bounds = Vec::new();
        assert_eq!(backoff.attempt(at(0), u32::MAX), Duration::ZERO);
        for attempt in 1..=11 {
            bounds.push(backoff.attempt(at(attempt * 100_000), u32::MAX).as_millis());
        }
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        backoff.succeeded();
        assert_eq!(backoff.attempt(at(10_000_000), u32::MAX), Duration::ZERO);
    }

    #[test]
    fn a_standby_that_was_cut_lets_the_active_one_go_first() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        backoff.attempt(at(0), 0);
        backoff.succeeded();
        backoff.stand_back();
        assert_eq!(backoff.attempt(at(60_000), 0), STAND_BACK);
        assert_eq!(backoff.attempt(at(70_000), 0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn two_attempts_are_half_a_second_apart(steps in prop::collection::vec((0..2_000_u64, any::<u32>(), any::<bool>()), 1..50)) {
            let mut backoff = Backoff::new(FIRST, LONGEST);
            let (mut now, mut last) = (Duration::ZERO, None::<Duration>);
            for (pause, dice, succeeded) in steps {
                now += Duration::from_millis(pause);
                now += backoff.attempt(Tick::new(now), dice);
                if let Some(last) = last {
                    prop_assert!(now - last >= SPACING);
                }
                last = Some(now);
                if succeeded {
                    backoff.succeeded();
                }
            }
        }
    }
}
