//! The sink that writes to Kafka.

use std::sync::Arc;

use outboxd_core::record::Record;
use outboxd_core::topic::{TopicError, TopicInfo};

use super::acks::{ReportReceiver, ReportSender, channel};
use super::client_log::ClientLog;
use super::producer::Producer;
use super::progress::{Isolation, ProgressReader};
use super::settings::KafkaSettings;
use super::topics::Lookup;
use super::{NewTopics, ProduceError, ProgressRead, Report, Sink, SinkError};

/// Writes with one idempotent producer at a time.
pub struct KafkaSink {
    settings: KafkaSettings,
    progress_topic: String,
    /// Dropped before the receiver, so that its last reports have where to go.
    producer: Producer,
    /// What the producer's batches keep to.
    batch_bytes: usize,
    sender: ReportSender,
    reports: ReportReceiver,
    /// Records and progress whose report was not taken yet.
    outstanding: usize,
    outstanding_max: usize,
    lookup: Arc<Lookup>,
    log: ClientLog,
}

impl KafkaSink {
    /// Starts a producer. `creation`: how topics for events are created, if at all. Does not wait for a broker: whether one answers shows when it is asked.
    pub fn start(
        settings: KafkaSettings,
        progress_topic: String,
        max_in_flight_events: usize,
        creation: Option<NewTopics>,
    ) -> Result<Self, SinkError> {
        let log = ClientLog::default();
        let outstanding_max = max_in_flight_events.saturating_add(PROGRESS_IN_FLIGHT_MAX);
        let (sender, reports) = channel(outstanding_max.saturating_add(FATAL_REPORTS_MAX));
        let lookup = Arc::new(Lookup::open(&settings, log.clone())?.creating(creation));
        let batch_bytes = lookup.batch_bytes();
        let config = settings.producer_config(batch_bytes)?;
        let producer = Producer::start(&config, sender.clone(), log.clone())?;
        Ok(Self {
            settings,
            progress_topic,
            producer,
            batch_bytes,
            sender,
            reports,
            outstanding: 0,
            outstanding_max,
            lookup,
            log,
        })
    }

    fn reserve(&self) {
        assert!(
            self.outstanding < self.outstanding_max,
            "more in flight than the sink was built for"
        );
    }
}

impl Sink for KafkaSink {
    fn produce(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        self.reserve();
        self.producer.send(record)?;
        self.outstanding += 1;
        Ok(())
    }

    fn append_progress(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ProduceError> {
        self.reserve();
        self.producer.send_progress(&self.progress_topic, key, value)?;
        self.outstanding += 1;
        Ok(())
    }

    fn next_report(&mut self) -> Option<Report> {
        let report = self.reports.next()?;
        if !matches!(report, Report::Fatal { .. }) {
            self.outstanding -= 1;
        }
        Some(report)
    }

    fn reports_ready(&mut self) -> impl Future<Output = ()> + Send {
        self.reports.ready()
    }

    fn describe_topic(
        &self,
        topic: String,
    ) -> impl Future<Output = Result<TopicInfo, TopicError>> + Send + 'static {
        Arc::clone(&self.lookup).describe_topic(topic)
    }

    fn read_progress(
        &self,
    ) -> impl Future<Output = Result<ProgressRead, SinkError>> + Send + 'static {
        ProgressReader {
            settings: self.settings.clone(),
            topic: self.progress_topic.clone(),
            // Progress is written outside of Kafka transactions in at-least-once mode.
            isolation: Isolation::ReadUncommitted,
            log: self.log.clone(),
        }
        .read()
    }

    fn replace_producer(&mut self) -> Result<(), SinkError> {
        let batch_bytes = self.lookup.batch_bytes();
        let config = self.settings.producer_config(batch_bytes)?;
        self.producer = Producer::start(&config, self.sender.clone(), self.log.clone())?;
        self.batch_bytes = batch_bytes;
        Ok(())
    }

    fn wants_replacement(&self) -> bool {
        self.lookup.batch_bytes() < self.batch_bytes
    }
}

const PROGRESS_IN_FLIGHT_MAX: usize = 1;
/// A producer dies once, and is replaced when its reports were taken.
const FATAL_REPORTS_MAX: usize = 1;

#[cfg(test)]
mod tests;
