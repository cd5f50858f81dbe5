//! The clocks of the shell, as the core wants them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outboxd_core::time::{Now, Tick};
use tokio::time::Instant;

/// Counts from the start of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        Now { tick: Tick::new(self.start.elapsed()), unix_ms: unix_ms() }
    }

    pub(crate) fn instant(self, tick: Tick) -> Instant {
        self.start + tick.since(Tick::new(Duration::ZERO))
    }
}

/// Milliseconds since the Unix epoch; negative on a machine whose clock stands before it.
fn unix_ms() -> i64 {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}
