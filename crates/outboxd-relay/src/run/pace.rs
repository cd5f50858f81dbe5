//! How often the socket is read.
//!
//! A walsender sends each change by itself. A reader that waits for every one of them wakes up, and
//! wakes the Kafka client, hundreds of thousands of times a second; both processes then spend more
//! time switching than working. So once changes come thick and fast, the reader rests a moment
//! before each read and takes what has gathered. At an ordinary rate it reads at once.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Reads since the beginning of the present interval.
    reads: u32,
    since: Option<Instant>,
    rest_until: Option<Instant>,
    unresting: bool,
}

impl Pace {
    /// For a Unix socket, whose buffer holds a few hundred changes only: the server would stand
    /// still for most of each rest.
    pub(super) fn unresting() -> Self {
        Self { unresting: true, ..Self::default() }
    }

    /// When the next read may be; `None`: now.
    pub(super) fn rest_until(&self) -> Option<Instant> {
        self.rest_until
    }

    pub(super) fn rested(&mut self) {
        self.rest_until = None;
        // The read that follows tells whether to rest again.
        self.reads = READS_BUSY;
    }

    /// A read brought so many bytes.
    pub(super) fn read(&mut self, bytes: usize, now: Instant) {
        if self.unresting {
            return;
        }
        let since = *self.since.get_or_insert(now);
        if self.reads >= READS_BUSY {
            // Coming from a rest: gathering has paid, or it has not.
            if bytes >= GATHERED_BYTES {
                self.rest_until = Some(now + REST);
            }
            self.begin(now);
        } else if now - since > INTERVAL {
            self.begin(now);
        } else {
            self.reads += 1;
            if self.reads >= READS_BUSY {
                self.rest_until = Some(now + REST);
            }
        }
    }

    fn begin(&mut self, now: Instant) {
        self.reads = 0;
        self.since = Some(now);
    }
}

/// So many reads within an interval are too many.
const READS_BUSY: u32 = 32;
const INTERVAL: Duration = Duration::from_millis(8);
/// The timer's resolution. A socket buffer holds what a walsender sends in this time.
const REST: Duration = Duration::from_millis(1);
/// Less than this in one rest is an ordinary rate.
const GATHERED_BYTES: usize = 16 * 1024;

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
            assert_eq!(pace.rest_until(), None, "read {read}");
        }
    }

    #[test]
    fn a_unix_socket_is_read_at_once_even_in_a_flood() {
        let (mut pace, start) = (Pace::unresting(), Instant::now());
        for read in 0..1_000 {
            pace.read(GATHERED_BYTES, at(start, read * 5));
            assert_eq!(pace.rest_until(), None);
        }
    }

    #[test]
    fn a_flood_is_gathered_and_its_end_noticed() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for read in 0..u64::from(READS_BUSY) {
            pace.read(400, at(start, read * 5));
        }
        assert!(pace.rest_until().is_some());
        for rest in 1..100 {
            pace.rested();
            pace.read(GATHERED_BYTES, at(start, rest * 1_000));
            assert!(pace.rest_until().is_some(), "rest {rest}");
        }
        pace.rested();
        pace.read(400, at(start, 200_000));
        assert_eq!(pace.rest_until(), None);
    }
}
