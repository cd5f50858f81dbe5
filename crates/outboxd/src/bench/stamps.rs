//! When each event was sent, acknowledged and seen, by one clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::figures::Quantiles;

/// Events are counted from 0; they carry numbers that no other measurement on the same table uses.
pub(crate) struct Stamps {
    epoch: Instant,
    first_number: u64,
    events: Vec<Stamp>,
    seen: AtomicU64,
    seen_again: AtomicU64,
}

/// Nanoseconds since the epoch; 0: not yet.
#[derive(Default)]
struct Stamp {
    sent: AtomicU64,
    acked: AtomicU64,
    seen: AtomicU64,
}

/// In milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) sent_to_seen: Quantiles,
    /// Below zero where the consumer was quicker than the answer to the writer.
    pub(crate) acked_to_seen: Quantiles,
}

impl Stamps {
    pub(crate) fn new(first_number: u64, events: usize) -> Self {
        let events = std::iter::repeat_with(Stamp::default).take(events).collect();
        let (seen, seen_again) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { epoch: Instant::now(), first_number, events, seen, seen_again }
    }

    pub(crate) fn number(&self, event: usize) -> u64 {
        self.first_number + event as u64
    }

    pub(crate) fn sent(&self, event: usize) {
        self.events[event].sent.store(self.now(), Ordering::Relaxed);
    }

    pub(crate) fn acked(&self, event: usize) {
        self.events[event].acked.store(self.now(), Ordering::Relaxed);
    }

    /// Numbers of others are passed over.
    pub(crate) fn seen(&self, number: u64) {
        let now = self.now();
        let event = number.checked_sub(self.first_number);
        let event = event.and_then(|event| self.events.get(usize::try_from(event).ok()?));
        let Some(event) = event else { return };
        let first = event.seen.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let count = if first.is_ok() { &self.seen } else { &self.seen_again };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn missing(&self) -> u64 {
        self.events.len() as u64 - self.seen.load(Ordering::Relaxed)
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.seen_again.load(Ordering::Relaxed)
    }

    /// Of the events from `first` on that were seen. `None`: none were.
    pub(crate) fn latency(&self, first: usize) -> Option<Latency> {
        let counted = || self.events.iter().skip(first).filter_map(Stamp::complete);
        Some(Latency {
            sent_to_seen: Quantiles::of(counted().map(|(sent, _, seen)| ms(seen - sent)))?,
            acked_to_seen: Quantiles::of(counted().map(|(_, acked, seen)| ms(seen - acked)))?,
        })
    }

    fn now(&self) -> u64 {
        let since = self.epoch.elapsed().max(Duration::from_nanos(1));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Stamp {
    fn complete(&self) -> Option<(i64, i64, i64)> {
        let read = |stamp: &AtomicU64| match stamp.load(Ordering::Relaxed) {
            0 => None,
            at => i64::try_from(at).ok(),
        };
        Some((read(&self.sent)?, read(&self.acked)?, read(&self.seen)?))
    }
}

fn ms(nanos: i64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_by_their_number_and_counted_once() {
        let stamps = Stamps::new(100, 3);
        for event in 0..3 {
            stamps.sent(event);
            stamps.acked(event);
        }
        for number in [99, 100, 102, 102, 103] {
            stamps.seen(number);
        }
        assert_eq!((stamps.missing(), stamps.duplicates()), (1, 1));
        let latency = stamps.latency(0).unwrap();
        assert!(latency.acked_to_seen.max >= 0.0);
        assert!(latency.sent_to_seen.p50 >= latency.acked_to_seen.p50);
    }

    #[test]
    fn without_a_counted_event_there_is_no_latency() {
        let stamps = Stamps::new(1, 2);
        stamps.sent(0);
        stamps.acked(0);
        stamps.seen(1);
        assert!(stamps.latency(0).is_some());
        assert!(stamps.latency(1).is_none());
    }
}
