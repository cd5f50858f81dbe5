//! How often a fault strikes in one test: a few times by default, and as often as asked for in a
//! longer run.
//!
//! `ROUNDS=300` asks for that many rounds, `MINUTES=30` for as many as begin within that time, both
//! for whichever is reached first; `SEED=7` repeats the choices of another run.

use std::env;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::random::Random;

/// Gives the numbers of the rounds, from 1.
#[derive(Debug)]
pub struct Rounds {
    done: u64,
    wanted: u64,
    end: Option<Instant>,
    seed: u64,
}

impl Rounds {
    /// So many, unless the environment says otherwise.
    pub fn of(default: u64) -> Self {
        let budget = Budget { rounds: variable("ROUNDS"), minutes: variable("MINUTES") };
        let seed = variable("SEED").unwrap_or_else(|| u64::from(std::process::id()));
        println!("SEED={seed}");
        Self::within(default, budget, seed)
    }

    fn within(default: u64, budget: Budget, seed: u64) -> Self {
        let minutes = |count: f64| Instant::now() + Duration::from_secs_f64(count * 60.0);
        let wanted = match budget {
            Budget { rounds: Some(rounds), .. } => rounds,
            Budget { minutes: Some(_), .. } => u64::MAX,
            Budget { .. } => default,
        };
        Self { done: 0, wanted, end: budget.minutes.map(minutes), seed }
    }

    /// Choices that the seed repeats.
    pub fn random(&self) -> Random {
        Random::new(self.seed)
    }

    /// Whether there is no further round. The first one is always made.
    pub fn are_over(&self) -> bool {
        let is_late = self.end.is_some_and(|end| Instant::now() >= end);
        self.done >= self.wanted || (is_late && self.done > 0)
    }

    /// Says what was shown, when all of it has been looked at.
    pub fn passed(&self, what: &str) {
        println!("{what}: {} rounds, 0 failures, SEED={}", self.done, self.seed);
    }
}

impl Iterator for Rounds {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.are_over() {
            return None;
        }
        self.done += 1;
        Some(self.done)
    }
}

/// What the environment asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    rounds: Option<u64>,
    minutes: Option<f64>,
}

/// What cannot be read is not passed over: the run would be a short one that looks like a long one.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let Ok(value) = text.parse() else { panic!("{name}={text} is no number") };
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rounds: Option<u64>, minutes: Option<f64>) -> Rounds {
        Rounds::within(3, Budget { rounds, minutes }, 1)
    }

    #[test]
    fn rounds_end_with_their_number_or_their_time() {
        assert_eq!(rounds(None, None).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(rounds(Some(5), None).count(), 5);
        assert_eq!(rounds(Some(5), Some(1.0)).count(), 5);
        assert_eq!(rounds(Some(5), Some(0.0)).count(), 1, "no time is left after the first");
        assert_eq!(rounds(None, Some(0.0)).count(), 1);
        assert_eq!(rounds(None, Some(1.0)).take(100).count(), 100, "more than the default");
    }

    #[test]
    fn rounds_can_be_made_in_parts() {
        let mut rounds = rounds(None, None);
        assert_eq!(rounds.by_ref().take(2).count(), 2);
        assert!(!rounds.are_over());
        assert_eq!(rounds.by_ref().take(2).count(), 1);
        assert!(rounds.are_over());
    }
}
