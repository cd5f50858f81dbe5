//! The two clocks: Postgres timestamps, which are data, and monotonic time, which the shell hands in.

use std::fmt;
use std::time::Duration;

/// Microseconds since 2000-01-01 00:00 UTC, as the replication protocol carries them.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct PgTimestamp(i64);

impl PgTimestamp {
    /// Milliseconds from the Unix epoch to the Postgres epoch.
    const EPOCH_OFFSET_MS: i64 = 946_684_800_000;

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis.saturating_sub(Self::EPOCH_OFFSET_MS).saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch, rounded down: the resolution of a Kafka timestamp.
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(1000).saturating_add(Self::EPOCH_OFFSET_MS)
    }
}

/// Monotonic time since an arbitrary start, handed in by the shell. Never a wall clock.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tick(Duration);

impl Tick {
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time of an input: monotonic for every decision, the wall clock only to be written down or
/// compared with other wall clocks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    pub tick: Tick,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: i64,
}

impl std::ops::Add<Duration> for Tick {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after))
    }
}

/// Zero when it would be before the start.
impl std::ops::Sub<Duration> for Tick {
    type Output = Self;

    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(before))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_between_the_two_epochs() {
        assert_eq!(PgTimestamp::from_micros(0).unix_millis(), 946_684_800_000);
        assert_eq!(PgTimestamp::from_unix_millis(946_684_800_001).as_micros(), 1000);
        assert_eq!(PgTimestamp::from_micros(-1).unix_millis(), 946_684_799_999);
        assert_eq!(PgTimestamp::from_unix_millis(0).as_micros(), -946_684_800_000_000);
    }

    #[test]
    fn every_timestamp_has_milliseconds() {
        let latest = PgTimestamp::from_micros(i64::MAX).unix_millis();
        assert_eq!(latest, 9_224_318_721_654_775);
        let earliest = PgTimestamp::from_micros(i64::MIN).unix_millis();
        assert_eq!(earliest, -9_222_425_352_054_776);
    }

    #[test]
    fn milliseconds_out_of_range_become_the_nearest_timestamp() {
        assert_eq!(PgTimestamp::from_unix_millis(i64::MAX).as_micros(), i64::MAX);
        assert_eq!(PgTimestamp::from_unix_millis(i64::MIN).as_micros(), i64::MIN);
    }

    #[test]
    fn ticks_measure_forward_and_stop_at_their_ends() {
        let start = Tick::new(Duration::from_millis(1500));
        let later = start + Duration::from_millis(250);
        assert_eq!(later.since(start), Duration::from_millis(250));
        assert_eq!(start.since(later), Duration::ZERO);
        assert_eq!(later.to_string(), "1.750s");
        let last = Tick::new(Duration::MAX);
        assert_eq!(last + Duration::from_nanos(1), last);
    }

    proptest::proptest! {
        #[test]
        fn milliseconds_round_down_and_keep_the_order(micros: i64, other: i64) {
            let timestamp = PgTimestamp::from_micros(micros);
            let other = PgTimestamp::from_micros(other);
            let millis = timestamp.unix_millis();
            let lost = i128::from(micros) - i128::from(millis - PgTimestamp::EPOCH_OFFSET_MS) * 1000;
            proptest::prop_assert!((0..1000).contains(&lost), "{lost}");
            if timestamp <= other {
                proptest::prop_assert!(millis <= other.unix_millis());
            }
        }
    }
}
