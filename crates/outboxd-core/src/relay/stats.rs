//! Counters of what passed through. Plain numbers: the shell turns them into metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::mapping::Mapped;
use crate::record::{Token, TopicId};
use crate::time::{Now, PgTimestamp, Tick};

#[derive(Debug, Default)]
pub struct Stats {
    pub transactions: u64,
    pub events_received: u64,
    /// Inserts of tables that are in the publication and not configured.
    pub ignored_rows: u64,
    /// Logical messages with the prefix of events, outside of a transaction.
    pub stray_messages: u64,
    pub headers_dropped: u64,
    dropped_names: BTreeSet<String>,
    news_of_dropped: Vec<String>,
    /// Acked events and bytes, by topic.
    pub published: Vec<Published>,
    /// Exactly-once mode: acked in a transaction that is not committed.
    uncommitted: Option<Vec<Published>>,
    sample: Option<(Token, Tick, PgTimestamp)>,
    /// Acked in that transaction.
    sample_acked: Option<(Duration, PgTimestamp)>,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Published {
    pub events: u64,
    pub bytes: u64,
}

/// The way of one record. One is watched at a time, so that watching costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From hand-over to ack.
    pub kafka: Duration,
    /// From commit to ack, or to the commit of Kafka's transaction, by two wall clocks.
    pub end_to_end_ms: i64,
}

impl Stats {
    pub(super) fn new(in_transactions: bool) -> Self {
        Self { uncommitted: in_transactions.then(Vec::new), ..Self::default() }
    }

    /// Samples taken since the last call.
    pub fn take_samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }

    /// Names of row headers that were dropped for the first time since the last call.
    pub fn take_dropped_names(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news_of_dropped)
    }

    pub(super) fn headers_dropped(&mut self, mapped: &Mapped<'_>) {
        self.headers_dropped += mapped.dropped_headers.len() as u64;
        for name in &mapped.dropped_headers {
            let known = self.dropped_names.contains(name.as_ref());
            if !known && self.dropped_names.len() < DROPPED_NAMES_MAX {
                self.dropped_names.insert(name.to_string());
                self.news_of_dropped.push(name.to_string());
            }
        }
    }

    pub(super) fn handed_out(&mut self, token: Token, now: Tick, committed: PgTimestamp) {
        if self.sample.is_none() {
            self.sample = Some((token, now, committed));
        }
    }

    pub(super) fn acked(&mut self, token: Token, topic: TopicId, bytes: u32, now: Now) {
        let published = Published { events: 1, bytes: u64::from(bytes) };
        add(self.uncommitted.as_mut().unwrap_or(&mut self.published), topic.0 as usize, published);
        let sample = self.sample.take_if(|(sampled, ..)| *sampled == token);
        let Some((_, since, committed)) = sample else { return };
        let kafka = now.tick.since(since);
        match self.uncommitted {
            None => self.sampled(kafka, committed, now),
            Some(_) => self.sample_acked = Some((kafka, committed)),
        }
    }

    pub(super) fn committed(&mut self, now: Now) {
        let uncommitted = self.uncommitted.as_mut().map(std::mem::take).unwrap_or_default();
        for (topic, published) in uncommitted.into_iter().enumerate() {
            add(&mut self.published, topic, published);
        }
        if let Some((kafka, committed)) = self.sample_acked.take() {
            self.sampled(kafka, committed, now);
        }
    }

    pub(super) fn aborted(&mut self) {
        if let Some(uncommitted) = &mut self.uncommitted {
            uncommitted.clear();
        }
        (self.sample, self.sample_acked) = (None, None);
    }

    fn sampled(&mut self, kafka: Duration, committed: PgTimestamp, now: Now) {
        if self.samples.len() < SAMPLES_MAX {
            let end_to_end_ms = now.unix_ms - committed.unix_millis();
            self.samples.push(Sample { kafka, end_to_end_ms });
        }
    }

    pub(super) fn lost(&mut self, token: Token) {
        self.sample.take_if(|(sampled, ..)| *sampled == token);
    }
}

fn add(counts: &mut Vec<Published>, topic: usize, more: Published) {
    if counts.len() <= topic {
        counts.resize_with(topic + 1, Published::default);
    }
    counts[topic].events += more.events;
    counts[topic].bytes += more.bytes;
}

/// Rows choose header names: how many different ones are remembered.
const DROPPED_NAMES_MAX: usize = 100;
const SAMPLES_MAX: usize = 10_000;
