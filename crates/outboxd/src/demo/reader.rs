//! Reads the events back, as any consumer would.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::broker::{PARTITIONS, client};
use super::event::OrderCreated;
use super::names::Names;

/// Reads along from the first record on.
pub(super) struct Reader {
    seen: watch::Receiver<Seen>,
    finish: oneshot::Sender<()>,
    task: JoinSet<anyhow::Result<()>>,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Those of one partition are in their order there.
    pub(super) records: Vec<Record>,
    /// Of which there is a record.
    pub(super) orders: HashSet<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// What it says; `None` when it is no event of an order.
    pub(super) fn event(&self) -> Option<OrderCreated> {
        serde_json::from_slice(self.value.as_deref()?).ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    }
}

impl Seen {
    fn take(&mut self, record: Record) {
        if let Some(event) = record.event() {
            self.orders.insert(event.order);
        }
        self.records.push(record);
    }
}

impl Reader {
    pub(super) fn start(bootstrap: &str, names: &Names) -> anyhow::Result<Self> {
        let consumer: StreamConsumer = client(bootstrap)
            // Never joined: partitions are assigned and nothing is committed.
            .set("group.id", format!("{}_reader", names.run()))
            .set("enable.auto.commit", "false")
            // A question to the broker queues behind the wait for records.
            .set("fetch.wait.max.ms", "20")
            .create()
            .context("no Kafka consumer")?;
        consumer.assign(&partitions(names)?).context("cannot read the topics")?;
        let (sender, seen) = watch::channel(Seen::default());
        let (finish, finished) = oneshot::channel();
        let reading = Reading { consumer: Arc::new(consumer), seen: sender, next: HashMap::new() };
        let mut task = JoinSet::new();
        task.spawn(reading.run(finished));
        Ok(Self { seen, finish, task })
    }

    pub(super) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }

    /// Reads to the end of every partition. To be called when nobody writes any more.
    pub(super) async fn finish(mut self) -> anyhow::Result<Vec<Record>> {
        // A reader that has ended already says why.
        let _ = self.finish.send(());
        self.task.join_next().await.context("the reader is gone")???;
        Ok(self.seen.borrow().records.clone())
    }
}

/// Waits until what was read is enough; false when nothing new comes for long.
pub(super) async fn reach(
    seen: &mut watch::Receiver<Seen>,
    is_enough: impl Fn(&Seen) -> bool,
) -> bool {
    while !is_enough(&seen.borrow_and_update()) {
        if !matches!(timeout(STALLED_AFTER, seen.changed()).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

struct Reading {
    consumer: Arc<StreamConsumer>,
    seen: watch::Sender<Seen>,
    /// The offset after the last one read of each partition.
    next: HashMap<(String, i32), i64>,
}

impl Reading {
    async fn run(mut self, finish: oneshot::Receiver<()>) -> anyhow::Result<()> {
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
        Ok(())
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
        let (topic, partition) = (message.topic().to_owned(), message.partition());
        self.next.insert((topic.clone(), partition), message.offset() + 1);
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        let record = Record {
            topic,
            partition,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(header).collect(),
        };
        self.seen.send_modify(|seen| seen.take(record));
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

pub(super) fn partitions(names: &Names) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for topic in names.event_topics() {
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&topic, partition, Offset::Beginning)?;
        }
    }
    Ok(list)
}

/// Far longer than a relay needs to be started again.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
