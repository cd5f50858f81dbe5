//! Delivers records to Kafka a second time, as they are, and asks how far the payment services are.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::Offset;
use tokio::task::spawn_blocking;

use super::broker::client;
use super::names::Names;
use super::reader::{Record, partitions};

pub(super) struct Courier {
    producer: FutureProducer,
    group: Arc<BaseConsumer>,
    names: Names,
    /// Orders whose events were delivered again.
    delivered: HashSet<i64>,
}

impl Courier {
    pub(super) fn new(bootstrap: &str, names: &Names) -> anyhow::Result<Self> {
        let mut client = client(bootstrap);
        let producer = client.create().context("no Kafka producer")?;
        // Never joined: it only asks.
        client.set("group.id", names.run()).set("enable.auto.commit", "false");
        let group = Arc::new(client.create().context("no Kafka consumer")?);
        Ok(Self { producer, group, names: names.clone(), delivered: HashSet::new() })
    }

    /// How many records it has delivered.
    pub(super) fn count(&self) -> u64 {
        self.delivered.len() as u64
    }

    /// The first of the records of each of these orders, where there is one and it was not done
    /// before. How many.
    pub(super) async fn deliver_again(
        &mut self,
        records: &[Record],
        orders: &HashSet<i64>,
    ) -> anyhow::Result<u64> {
        let before = self.count();
        for record in records {
            let order = record.event().map(|event| event.order);
            let Some(order) = order.filter(|order| orders.contains(order)) else { continue };
            if self.delivered.insert(order) {
                self.deliver(record).await?;
            }
        }
        Ok(self.count() - before)
    }

    async fn deliver(&self, record: &Record) -> anyhow::Result<()> {
        let mut headers = OwnedHeaders::new();
        for (name, value) in &record.headers {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        let mut copy: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&record.topic).partition(record.partition).headers(headers);
        copy.key = record.key.as_deref();
        copy.payload = record.value.as_deref();
        let sent = self.producer.send(copy, DELIVERY_LIMIT).await;
        sent.map(drop).map_err(|(error, _)| anyhow!(error).context("a copy was not delivered"))
    }

    /// Whether the payment services have told Kafka that they are done with everything.
    pub(super) async fn is_all_consumed(&self) -> anyhow::Result<bool> {
        let (group, partitions) = (Arc::clone(&self.group), partitions(&self.names)?);
        let asked = spawn_blocking(move || {
            let committed = group.committed_offsets(partitions, ANSWER_LIMIT)?;
            for element in committed.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                let (_, end) = group.fetch_watermarks(topic, partition, ANSWER_LIMIT)?;
                let next = if let Offset::Offset(next) = element.offset() { next } else { 0 };
                if next < end {
                    return Ok(false);
                }
            }
            Ok::<_, KafkaError>(true)
        });
        asked.await?.context("the payment services' offsets are not known")
    }
}

const DELIVERY_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
