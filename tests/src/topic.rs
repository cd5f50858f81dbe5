//! Topics: creating them, and reading them from the first record to the last.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::patience::{DEADLINE, eventually};

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct Cluster {
    bootstrap: String,
}

#[derive(Clone, Debug)]
pub struct Topic {
    cluster: Cluster,
    name: String,
    partitions: i32,
}

/// A record as a consumer gets it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// In their order.
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// The first header of that name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    pub fn value_text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Cluster {
    pub fn new(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned() }
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<Topic> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        for created in self.admin()?.create_topics([&topic], &options).await? {
            created.map_err(|(name, code)| anyhow!("create {name}: {code}"))?;
        }
        let topic = self.topic(name, partitions);
        // Created means decided; every broker has it a moment later.
        eventually("topic readable", || async { Ok(topic.end_offsets().await.ok()) }).await?;
        Ok(topic)
    }

    /// One that exists.
    pub fn topic(&self, name: &str, partitions: i32) -> Topic {
        Topic { cluster: self.clone(), name: name.to_owned(), partitions }
    }

    /// Replaces the settings of a topic.
    pub async fn alter_topic(&self, name: &str, config: &[(&str, &str)]) -> Result<()> {
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(name));
        for (key, value) in config {
            change = change.set(key, value);
        }
        for altered in self.admin()?.alter_configs([&change], &AdminOptions::new()).await? {
            altered.map_err(|(_, code)| anyhow!("alter {name}: {code}"))?;
        }
        Ok(())
    }

    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        for deleted in self.admin()?.delete_topics(&[name], &options).await? {
            deleted.map_err(|(name, code)| anyhow!("delete {name}: {code}"))?;
        }
        Ok(())
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("log_level", "0");
        // As the relay has it: a broker may be all that there is, and away.
        config.set("metadata.recovery.rebootstrap.trigger.ms", "5000");
        config
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.config().create()?)
    }
}

impl Topic {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn partitions(&self) -> i32 {
        self.partitions
    }

    /// One past the last offset, of each partition.
    pub async fn end_offsets(&self) -> Result<Vec<i64>> {
        let topic = self.clone();
        spawn_blocking(move || ends(&topic.consumer("read_uncommitted")?, &topic)).await?
    }

    /// The same for those who read committed records: what is open holds it back.
    pub async fn readable_offsets(&self) -> Result<Vec<i64>> {
        let topic = self.clone();
        spawn_blocking(move || ends(&topic.consumer("read_committed")?, &topic)).await?
    }

    /// How many records there are; compaction and transactions aside.
    pub async fn len(&self) -> Result<i64> {
        Ok(self.end_offsets().await?.iter().sum())
    }

    /// Everything up to the end at this moment, partition after partition.
    pub async fn read_all(&self) -> Result<Vec<Record>> {
        self.read_all_at("read_uncommitted").await
    }

    /// The same without what transactions aborted.
    pub async fn read_committed(&self) -> Result<Vec<Record>> {
        self.read_all_at("read_committed").await
    }

    async fn read_all_at(&self, isolation: &'static str) -> Result<Vec<Record>> {
        let topic = self.clone();
        spawn_blocking(move || read_to_end(&topic, isolation)).await?
    }

    /// Waits until the partitions hold that many records together, and reads them all.
    pub async fn read_at_least(&self, count: usize) -> Result<Vec<Record>> {
        let wanted = i64::try_from(count)?;
        eventually(&format!("{count} records in {}", self.name), || async move {
            // A broker that restarts answers late, not wrongly.
            Ok(self.len().await.ok().filter(|&len| len >= wanted))
        })
        .await?;
        self.read_all().await
    }

    /// Waits until that many records are committed, and gives all that are. The length of a topic
    /// does not tell: transactions leave marks in it, and records that nobody reads.
    pub async fn read_committed_at_least(&self, count: usize) -> Result<Vec<Record>> {
        eventually(&format!("{count} committed records in {}", self.name), || async move {
            Ok(self.read_committed().await.ok().filter(|records| records.len() >= count))
        })
        .await
    }

    fn consumer(&self, isolation: &str) -> Result<BaseConsumer> {
        let mut config = self.cluster.config();
        config
            .set("group.id", "outboxd-tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // Also where the client could not find the beginning at its first try.
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "10")
            .set("check.crcs", "true");
        Ok(config.create()?)
    }
}

fn ends(consumer: &BaseConsumer, topic: &Topic) -> Result<Vec<i64>> {
    let ends = (0..topic.partitions).map(|partition| {
        let (_, high) = consumer.fetch_watermarks(&topic.name, partition, CALL)?;
        Ok(high)
    });
    ends.collect()
}

/// A partition's end is reached when the consumer says so, past all that was there at the start.
fn read_to_end(topic: &Topic, isolation: &str) -> Result<Vec<Record>> {
    let consumer = topic.consumer(isolation)?;
    let mut start = TopicPartitionList::new();
    for partition in 0..topic.partitions {
        start.add_partition_offset(&topic.name, partition, Offset::Beginning)?;
    }
    consumer.assign(&start)?;
    let mut records: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    let mut open: Vec<i32> = (0..topic.partitions).collect();
    let deadline = Instant::now() + DEADLINE;
    while !open.is_empty() {
        ensure!(Instant::now() < deadline, "{} has no end in partitions {open:?}", topic.name);
        match consumer.poll(CALL) {
            Some(Ok(message)) => {
                records.entry(message.partition()).or_default().push(owned(&message));
            }
            Some(Err(KafkaError::PartitionEOF(ended))) => open.retain(|&one| one != ended),
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error).context("consume"),
            None => {}
        }
    }
    Ok(records.into_values().flatten().collect())
}

/// The client goes on trying by itself.
fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    let passing = [Code::AllBrokersDown, Code::BrokerTransportFailure, Code::OperationTimedOut];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

fn owned(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| {
        (header.key.to_owned(), header.value.map(<[u8]>::to_vec).unwrap_or_default())
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}

const CALL: Duration = Duration::from_secs(5);
