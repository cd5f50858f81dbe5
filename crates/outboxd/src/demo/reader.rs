//! Reads the events back, as any consumer would.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::broker::PARTITIONS;
use super::event::Read;
use super::names::Names;

/// Reads along with the relay from the first record on.
pub(super) struct Reader {
    seen: watch::Receiver<u64>,
    finish: oneshot::Sender<()>,
    task: JoinSet<anyhow::Result<Vec<Read>>>,
}

impl Reader {
    pub(super) fn start(bootstrap: &str, names: &Names) -> anyhow::Result<Self> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            // Never joined: partitions are assigned and nothing is committed.
            .set("group.id", names.run())
            .set("enable.auto.commit", "false")
            .set("allow.auto.create.topics", "false")
            // A question to the broker queues behind the wait for records.
            .set("fetch.wait.max.ms", "20")
            .create()
            .context("no Kafka consumer")?;
        consumer.assign(&partitions(names)?).context("cannot read the topics")?;
        let (sender, seen) = watch::channel(0);
        let (finish, finished) = oneshot::channel();
        let reading = Reading {
            consumer: Arc::new(consumer),
            seen: sender,
            ids: HashSet::new(),
            next: HashMap::new(),
            reads: Vec::new(),
        };
        let mut task = JoinSet::new();
        task.spawn(reading.run(finished));
        Ok(Self { seen, finish, task })
    }

    /// How many different events were read so far.
    pub(super) fn seen(&self) -> watch::Receiver<u64> {
        self.seen.clone()
    }

    /// Reads to the end of every partition. To be called when nobody writes any more.
    pub(super) async fn finish(mut self) -> anyhow::Result<Vec<Read>> {
        // A reader that has ended already says why.
        let _ = self.finish.send(());
        self.task.join_next().await.context("the reader is gone")??
    }
}

/// Waits until so many different events were read; false when nothing new comes for long.
pub(super) async fn reach(seen: &mut watch::Receiver<u64>, count: u64) -> bool {
    while *seen.borrow_and_update() < count {
        if !matches!(timeout(STALLED_AFTER, seen.changed()).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

struct Reading {
    consumer: Arc<StreamConsumer>,
    seen: watch::Sender<u64>,
    ids: HashSet<String>,
    /// The offset after the last one read of each partition.
    next: HashMap<(String, i32), i64>,
    reads: Vec<Read>,
}

impl Reading {
    async fn run(mut self, finish: oneshot::Receiver<()>) -> anyhow::Result<Vec<Read>> {
        tokio::select! {
            biased;
            _ = finish => {}
            () = self.follow() => {}
        }
        let ends = self.ends().await?;
        while !ends.iter().all(|(at, end)| self.next.get(at).is_some_and(|next| next >= end)) {
            match timeout(STALLED_AFTER, self.consumer.clone().recv()).await {
                Ok(Ok(message)) => self.take(&message),
                Ok(Err(error)) => tracing::debug!(%error, "reading goes on"),
                Err(_) => bail!("records that are there could not be read"),
            }
        }
        Ok(self.reads)
    }

    /// Reads for as long as there may be more.
    async fn follow(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        loop {
            match consumer.recv().await {
                Ok(message) => self.take(&message),
                Err(error) => tracing::debug!(%error, "reading goes on"),
            }
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let topic = message.topic().to_owned();
        let partition = message.partition();
        self.next.insert((topic.clone(), partition), message.offset() + 1);
        let id = message.headers().and_then(|headers| {
            let id = headers.iter().find(|header| header.key == "id")?.value?;
            String::from_utf8(id.to_vec()).ok()
        });
        let id = id.unwrap_or_default();
        if self.ids.insert(id.clone()) {
            self.seen.send_replace(self.ids.len() as u64);
        }
        let key = message.key().map(<[u8]>::to_vec);
        let value = message.payload().map(<[u8]>::to_vec);
        self.reads.push(Read { topic, partition, id, key, value });
    }

    /// Where each partition that holds anything ends.
    async fn ends(&self) -> anyhow::Result<HashMap<(String, i32), i64>> {
        let consumer = Arc::clone(&self.consumer);
        let asked = spawn_blocking(move || {
            let assigned = consumer.assignment()?;
            let mut ends = HashMap::new();
            for element in assigned.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT)?;
                ends.insert((topic.to_owned(), partition), end);
            }
            Ok::<_, rdkafka::error::KafkaError>(ends)
        });
        let mut ends = asked.await?.context("the ends of the topics are not known")?;
        ends.retain(|_, end| *end > 0);
        Ok(ends)
    }
}

fn partitions(names: &Names) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for topic in names.event_topics() {
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&topic, partition, Offset::Beginning)?;
        }
    }
    Ok(list)
}

/// Far longer than a relay needs to be started again.
const STALLED_AFTER: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
