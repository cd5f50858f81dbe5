//! The relay without a Kafka: drains a slot once, forgets every record, and prints what it saw.
//!
//! It runs in a process of its own, so that CPU and memory are the relay's.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outboxd_core::record::Record;
use outboxd_core::relay::Goal;
use outboxd_core::topic::{TopicError, TopicInfo};
use outboxd_relay::config::Config;
use outboxd_relay::daemon;
use outboxd_relay::sink::discard::DiscardSink;
use outboxd_relay::sink::{Extent, ProduceError, ProgressRead, Report, Sink, SinkError};
use outboxd_relay::wiring::Wishes;
use serde::{Deserialize, Serialize};

use super::proc;
use crate::{output, signals};

/// What goes to stdout, as JSON.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Discarded {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// From the first record to the last.
    pub(crate) span_us: u64,
    pub(crate) peak_bytes: u64,
}

pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let sink = DiscardSink::new(PARTITIONS);
    let (counts, span) = (sink.counts(), Arc::<Span>::default());
    let sink = TimedSink { sink, span: Arc::clone(&span), started: Instant::now(), unseen: false };
    // Whatever such a sink has recorded died with it.
    let wishes = Wishes { adopt_slot: true, no_wait: true, fail_fast: true, ..Wishes::default() };
    daemon::run_with(config, wishes, Goal::Once, sink, signals::shutdown()).await?;
    let discarded = Discarded {
        records: counts.records(),
        bytes: counts.bytes(),
        span_us: span.micros(),
        peak_bytes: proc::own_peak_bytes().unwrap_or_default(),
    };
    Ok(output::print(&format!("{}\n", serde_json::to_string(&discarded)?))?)
}

/// Knows when the first and the last record came. The clock is read once per batch of reports, not
/// once per record, so that it does not show in what is measured.
struct TimedSink {
    sink: DiscardSink,
    span: Arc<Span>,
    started: Instant,
    /// There are records that the span does not cover.
    unseen: bool,
}

/// In nanoseconds since the start; 0 before the first record.
#[derive(Default)]
struct Span {
    first: AtomicU64,
    last: AtomicU64,
}

impl Span {
    fn cover(&self, at: Duration) {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        if self.first.load(Ordering::Relaxed) == 0 {
            self.first.store(at, Ordering::Relaxed);
        }
        self.last.store(at, Ordering::Relaxed);
    }

    fn micros(&self) -> u64 {
        (self.last.load(Ordering::Relaxed) - self.first.load(Ordering::Relaxed)) / 1000
    }
}

impl Sink for TimedSink {
    fn produce(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        if self.span.first.load(Ordering::Relaxed) == 0 {
            self.span.cover(self.started.elapsed());
        }
        self.unseen = true;
        self.sink.produce(record)
    }

    fn append_progress(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ProduceError> {
        self.sink.append_progress(key, value)
    }

    fn next_report(&mut self) -> Option<Report> {
        if self.unseen {
            self.unseen = false;
            self.span.cover(self.started.elapsed());
        }
        self.sink.next_report()
    }

    async fn reports_ready(&mut self) {
        self.sink.reports_ready().await;
    }

    fn describe_topic(
        &self,
        topic: String,
    ) -> impl Future<Output = Result<TopicInfo, TopicError>> + Send + 'static {
        self.sink.describe_topic(topic)
    }

    fn read_progress(
        &self,
        extent: Extent,
    ) -> impl Future<Output = Result<ProgressRead, SinkError>> + Send + 'static {
        self.sink.read_progress(extent)
    }

    fn replace_producer(&mut self) -> Result<(), SinkError> {
        self.sink.replace_producer()
    }
}

/// As many as the topics in Kafka have.
const PARTITIONS: u32 = super::broker::PARTITIONS as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_is_from_the_first_record_to_the_last() {
        let span = Span::default();
        assert_eq!(span.micros(), 0);
        for micros in [5, 7, 40] {
            span.cover(Duration::from_micros(micros));
        }
        assert_eq!(span.micros(), 35);
    }
}
