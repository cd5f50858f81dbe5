//! A broker and a sink in memory, for tests that decide themselves what becomes of each record.
//!
//! Several sinks may share a [`MemoryBroker`], each a relay of its own: progress has one topic for
//! all, in which a foreign record shows as a jump of offsets. Each sink has a [`MemoryProducer`]
//! as its remote control. A record counts as written when it is acknowledged, not before.

mod broker;
mod producer;

use std::future;
use std::sync::Arc;

use outboxd_core::record::Record;
use outboxd_core::topic::{TopicError, TopicInfo};

pub use self::broker::{MemoryBroker, MemoryRecord};
pub use self::producer::MemoryProducer;
use super::{Extent, ProduceError, ProgressRead, Report, Sink, SinkError};

/// Acknowledges at once, until told otherwise.
pub struct MemorySink {
    broker: MemoryBroker,
    producer: Arc<MemoryProducer>,
}

impl MemorySink {
    pub fn new(broker: MemoryBroker) -> Self {
        Self { producer: Arc::new(MemoryProducer::new(broker.clone())), broker }
    }

    /// The remote control. It stays valid when the producer is replaced.
    pub fn producer(&self) -> Arc<MemoryProducer> {
        Arc::clone(&self.producer)
    }
}

impl Sink for MemorySink {
    fn produce(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        self.producer.take(record)
    }

    fn append_progress(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ProduceError> {
        self.producer.take_progress(key, value)
    }

    fn next_report(&mut self) -> Option<Report> {
        self.producer.next_report()
    }

    async fn reports_ready(&mut self) {
        self.producer.reports_ready().await;
    }

    fn describe_topic(
        &self,
        topic: String,
    ) -> impl Future<Output = Result<TopicInfo, TopicError>> + Send + 'static {
        future::ready(self.broker.describe(&topic))
    }

    fn read_progress(
        &self,
        _: Extent,
    ) -> impl Future<Output = Result<ProgressRead, SinkError>> + Send + 'static {
        future::ready(self.broker.read_progress())
    }

    fn replace_producer(&mut self) -> Result<(), SinkError> {
        self.producer.revive();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
