//! A topic as its consumers see it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::broker::{PARTITIONS, client};
use super::server::LOOK_INTERVAL;
use super::verify::{Seen, Tally, Verdict};

#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) bootstrap: String,
}

impl Topic {
    /// A new topic has no leaders for a moment.
    pub(crate) async fn become_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        let mut counter = self.counter()?;
        while let Err(error) = counter.count().await {
            if Instant::now() > deadline {
                return Err(error.context(format!("{} does not get ready", self.name)));
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// How many records can be read now, and marks of transactions.
    pub(crate) async fn count(&self) -> anyhow::Result<u64> {
        let topic = self.clone();
        spawn_blocking(move || Ok(topic.ends(&topic.consumer()?)?.iter().sum())).await?
    }

    /// A consumer of its own for [`Self::count`] again and again.
    pub(crate) fn counter(&self) -> anyhow::Result<Counter> {
        Ok(Counter { consumer: Some(self.consumer()?), topic: self.clone() })
    }

    /// Reads all there is now, and judges it against a backlog of `rows`.
    pub(crate) async fn verify(&self, rows: u64) -> anyhow::Result<Verdict> {
        let topic = self.clone();
        spawn_blocking(move || topic.read_all(rows)).await?
    }

    /// A consumer of everything that comes from now on.
    pub(crate) async fn follow(&self) -> anyhow::Result<BaseConsumer> {
        let topic = self.clone();
        let follow = move || {
            let consumer = topic.consumer()?;
            let ends = topic.ends(&consumer)?;
            topic.assign(&consumer, &ends)?;
            Ok(consumer)
        };
        spawn_blocking(follow).await?
    }

    fn read_all(&self, rows: u64) -> anyhow::Result<Verdict> {
        let consumer = self.consumer()?;
        let ends = self.ends(&consumer)?;
        self.assign(&consumer, &vec![0; ends.len()])?;
        let mut tally = Tally::new(rows);
        let mut left = ends.len();
        while left > 0 {
            match consumer.poll(SILENCE_MAX) {
                Some(Ok(message)) => tally.observe(&seen(&message)),
                // Nothing is written any more, and transactions leave marks that are no records.
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) => return Err(error.into()),
                None => bail!("{left} partitions of {} cannot be read to the end", self.name),
            }
        }
        Ok(tally.verdict())
    }

    fn consumer(&self) -> anyhow::Result<BaseConsumer> {
        client(&self.bootstrap)
            .set("group.id", "outboxd-bench")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", "10")
            .create()
            .context("no Kafka consumer")
    }

    /// The offset after the last record of each partition.
    fn ends(&self, consumer: &BaseConsumer) -> anyhow::Result<Vec<u64>> {
        let end = |partition| {
            let (first, end) = consumer.fetch_watermarks(&self.name, partition, ANSWER_LIMIT)?;
            ensure!(first == 0, "{} has lost records", self.name);
            Ok(u64::try_from(end)?)
        };
        (0..PARTITIONS).map(end).collect()
    }

    fn assign(&self, consumer: &BaseConsumer, offsets: &[u64]) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, &offset) in (0..).zip(offsets) {
            let offset = Offset::Offset(i64::try_from(offset)?);
            list.add_partition_offset(&self.name, partition, offset)?;
        }
        Ok(consumer.assign(&list)?)
    }
}

/// Keeps its connection between two looks.
pub(crate) struct Counter {
    /// None only while a look is under way.
    consumer: Option<BaseConsumer>,
    topic: Topic,
}

impl Counter {
    pub(crate) async fn count(&mut self) -> anyhow::Result<u64> {
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.topic.consumer()?,
        };
        let topic = self.topic.clone();
        let (consumer, ends) = spawn_blocking(move || {
            let ends = topic.ends(&consumer);
            (consumer, ends)
        })
        .await?;
        self.consumer = Some(consumer);
        Ok(ends?.iter().sum())
    }
}

fn seen<'a>(message: &'a BorrowedMessage<'_>) -> Seen<'a> {
    let headers = message.headers();
    let id = headers.and_then(|headers| headers.iter().find(|header| header.key == "id"));
    Seen {
        partition: message.partition(),
        key: message.key(),
        value: message.payload(),
        id: id.and_then(|header| header.value),
        append_ms: message.timestamp().to_millis().unwrap_or_default(),
    }
}

const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const READY_LIMIT: Duration = Duration::from_secs(30);
const SILENCE_MAX: Duration = Duration::from_secs(20);
