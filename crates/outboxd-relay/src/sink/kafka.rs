//! The sink that writes to Kafka.

use std::collections::HashMap;
use std::sync::Arc;

use outboxd_core::record::Record;
use outboxd_core::topic::{TopicError, TopicInfo};

use super::acks::{ReportReceiver, ReportSender, channel};
use super::client_log::ClientLog;
use super::producer::{Producer, lost};
use super::progress::ProgressReader;
use super::settings::KafkaSettings;
use super::topics::{Lookup, explain_transaction};
use super::{Committed, Extent, NewTopics, ProduceError, ProgressRead, Report, Sink, SinkError};

/// Writes with one idempotent or transactional producer at a time.
pub struct KafkaSink {
    settings: KafkaSettings,
    progress_topic: Arc<str>,
    /// Dropped before the receiver, so that its last reports have where to go. In exactly-once mode it
    /// is there before it fences others, so that it has found its brokers by then.
    producer: Option<Producer>,
    /// What the producer's batches keep to.
    batch_bytes: usize,
    /// As each topic was last described.
    partitions: HashMap<String, u32>,
    sender: ReportSender,
    reports: ReportReceiver,
    /// Records and progress whose report was not taken yet.
    outstanding: usize,
    outstanding_max: usize,
    lookup: Arc<Lookup>,
    progress: Arc<ProgressReader>,
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
        let progress = ProgressReader::new(settings.clone(), progress_topic.clone(), log.clone());
        progress.warm_up()?;
        let mut sink = Self {
            settings,
            progress_topic: progress_topic.into(),
            producer: None,
            batch_bytes: 0,
            partitions: HashMap::new(),
            sender,
            reports,
            outstanding: 0,
            outstanding_max,
            lookup,
            progress: Arc::new(progress),
            log,
        };
        sink.replace_producer()?;
        Ok(sink)
    }

    /// Hands something to the producer, which will report on it.
    fn send(
        &mut self,
        with: impl FnOnce(&mut Producer) -> Result<(), ProduceError>,
    ) -> Result<(), ProduceError> {
        assert!(
            self.outstanding < self.outstanding_max,
            "more in flight than the sink was built for"
        );
        let Some(producer) = &mut self.producer else {
            return Err(lost("there is no producer".to_owned()));
        };
        with(producer)?;
        self.outstanding += 1;
        Ok(())
    }
}

impl Sink for KafkaSink {
    fn produce(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        self.send(|producer| producer.send(record))
    }

    fn append_progress(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ProduceError> {
        let topic = Arc::clone(&self.progress_topic);
        self.send(|producer| producer.send_progress(&topic, key, value))
    }

    fn next_report(&mut self) -> Option<Report> {
        let report = self.reports.next()?;
        match (&report, &self.producer) {
            (Report::Fatal { .. }, Some(producer)) => producer.condemn(),
            (Report::Fatal { .. }, None) => {}
            _ => self.outstanding -= 1,
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
        extent: Extent,
    ) -> impl Future<Output = Result<ProgressRead, SinkError>> + Send + 'static {
        Arc::clone(&self.progress).read(extent)
    }

    fn progress_settled(&mut self) {
        self.progress.cool_down();
    }

    fn replace_producer(&mut self) -> Result<(), SinkError> {
        let batch_bytes = self.lookup.batch_bytes();
        let config = self.settings.producer_config(batch_bytes)?;
        let security = &self.settings.security;
        let producer = Producer::start(&config, security, self.sender.clone(), self.log.clone())?;
        if let Some(former) = self.producer.replace(producer) {
            former.abandon();
        }
        self.batch_bytes = batch_bytes;
        Ok(())
    }

    fn fence(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send + 'static {
        let is_fresh = |producer: &Producer| !producer.has_outdated_credentials();
        let is_fit = self.producer.as_ref().is_some_and(is_fresh)
            && self.lookup.batch_bytes() >= self.batch_bytes;
        let replaced = if is_fit { Ok(()) } else { self.replace_producer() };
        let fenced = self.producer.as_ref().map(Producer::fence);
        let log = self.log.clone();
        async move {
            replaced?;
            match fenced {
                Some(fenced) => fenced.await.map_err(|error| explain_transaction(&error, &log)),
                None => Ok(()),
            }
        }
    }

    fn commit(&mut self) -> impl Future<Output = Result<Committed, SinkError>> + Send + 'static {
        let time_max = self.settings.commit_time_max();
        let commit = self.producer.as_mut().map(|producer| producer.commit(time_max));
        let log = self.log.clone();
        async move {
            match commit {
                Some(commit) => commit.await.map_err(|error| explain_transaction(&error, &log)),
                None => Err(SinkError::Transport("there is no producer".to_owned())),
            }
        }
    }

    fn abandon(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.abandon();
        }
        if let Err(error) = self.replace_producer() {
            // The fence tries again, and tells.
            tracing::debug!(event = "kafka.no_producer", %error, "no new producer");
        }
    }

    fn outdated_by(&mut self, topic: &str, info: &TopicInfo) -> Option<&'static str> {
        let former = self.partitions.insert(topic.to_owned(), info.partitions);
        self.producer.as_ref()?;
        if self.lookup.batch_bytes() < self.batch_bytes {
            return Some("a topic takes only smaller batches");
        }
        former.filter(|&former| former < info.partitions).map(|_| "a topic has more partitions")
    }
}

const PROGRESS_IN_FLIGHT_MAX: usize = 1;
/// A producer dies once, and is replaced when its reports were taken.
const FATAL_REPORTS_MAX: usize = 1;

#[cfg(test)]
mod tests;
