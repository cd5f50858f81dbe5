//! How often the socket is read.
//!
//! A walsender sends each change by itself. A reader that waits for every one of them wakes up, and
//! wakes the Kafka client, hundreds of thousands of times a second; both processes then spend more
//! time switching than working. So once changes come thick and fast, the reader rests a moment
//! before each read and takes what has gathered. At an ordinary rate it reads at once.

use std::thread;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Reads since the beginning of the present interval.
    reads: u32,
    since: Option<Instant>,
    rests: bool,
}

impl Pace {
    /// To be called before a read. Blocks the thread, on purpose: in a runtime that waits, the
    /// reactor would still wake up for every packet. Nothing else on this thread minds the delay.
    pub(super) fn rest(&self) {
        if self.rests {
            thread::sleep(REST);
        }
    }

    /// A read brought so many bytes.
    pub(super) fn read(&mut self, bytes: usize, now: Instant) {
        if self.rests {
            // Gathering has paid, or it has not.
            self.rests = bytes >= GATHERED_BYTES;
            self.begin(now);
            return;
        }
        let since = *self.since.get_or_insert(now);
        if now - since > INTERVAL {
            self.begin(now);
        }
        self.reads += 1;
        self.rests = self.reads >= READS_BUSY;
    }

    fn begin(&mut self, now: Instant) {
        self.reads = 0;
        self.since = Some(now);
    }
}

/// So many reads within an interval are too many.
const READS_BUSY: u32 = 32;
const INTERVAL: Duration = Duration::from_millis(8);
/// The buffer of a Unix socket, the smallest there is, holds what a walsender sends in this time.
const REST: Duration = Duration::from_micros(200);
/// Less than this in one rest is an ordinary rate.
const GATHERED_BYTES: usize = 2 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, micros: u64) -> Instant {
        start + Duration::from_micros(micros)
    }

    #[test]
    fn an_ordinary_rate_is_read_at_once() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for read in 0..10_000 {
            pace.read(400, at(start, read * 500));
            assert!(!pace.rests, "read {read}");
        }
    }

    #[test]
    fn a_flood_is_gathered_and_its_end_noticed() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for read in 0..u64::from(READS_BUSY) {
            assert!(!pace.rests, "read {read}");
            pace.read(400, at(start, read * 5));
        }
        for read in 1..100 {
            assert!(pace.rests, "read {read}");
            pace.read(GATHERED_BYTES, at(start, read * 300));
        }
        pace.read(400, at(start, 200_000));
        assert!(!pace.rests);
    }
}
