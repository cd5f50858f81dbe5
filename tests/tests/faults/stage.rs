//! What these tests do again and again: servers of one test's own, and the end of a test.

use anyhow::Result;
use outboxd_sandbox::{Brokers, Kafka, KafkaOptions, PgOptions, PgVersion, Postgres};
use outboxd_tests::checker::Verdict;
use outboxd_tests::database::Database;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::{RelayCommand, RelayProcess, relay_on};
use outboxd_tests::scene::unique;
use outboxd_tests::topic::{Cluster, Topic};
use outboxd_tests::workload::{Running, Workload};

use crate::mode::Mode;

/// A database with an outbox and a topic for its events, on servers that may be hurt.
pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    pub(crate) kafka: Kafka,
    pub(crate) database: Database,
    pub(crate) topic: Topic,
    kind: String,
}

impl Stage {
    pub(crate) async fn new(brokers: Brokers) -> Result<Self> {
        let kafka = KafkaOptions { brokers, ..KafkaOptions::default() };
        Self::on(PgOptions::of(PgVersion::V17), kafka).await
    }

    pub(crate) async fn on(postgres: PgOptions, options: KafkaOptions) -> Result<Self> {
        let postgres = Postgres::start(postgres);
        let (postgres, kafka) = tokio::try_join!(postgres, Kafka::start(options))?;
        let kind = unique("f");
        let database = Database::create(&postgres, &kind).await?;
        database.create_outbox().await?;
        let cluster = Cluster::new(&kafka.bootstrap());
        let topic = cluster.create_topic(&format!("outbox.event.{kind}"), 4, &[]).await?;
        Ok(Self { postgres, kafka, database, topic, kind })
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(&self.kafka.bootstrap())
    }

    /// Starts writers that go on without end.
    pub(crate) async fn load(&self) -> Result<Running> {
        Workload::endless(self.kind()).start(&self.database).await
    }

    pub(crate) fn relay(&self) -> RelayCommand {
        relay_on(&self.database, &self.kafka.bootstrap())
    }

    /// Connects again: the server was away.
    pub(crate) async fn reopen(&mut self) -> Result<()> {
        self.database = Database::open(&self.postgres, &self.kind).await?;
        Ok(())
    }

    /// Lets the relay publish what is left and end; what a reader of its mode finds.
    pub(crate) async fn conclude(&self, mode: Mode, relay: RelayProcess) -> Result<Verdict> {
        mode.conclude(&self.database, &self.topic, &self.kind, relay).await
    }
}

/// Waits until the topic has grown by so many records. Only for load that has no end: with a backlog
/// that is given, all of it may be there before the first look.
pub(crate) async fn grown(topic: &Topic, by: i64) -> Result<()> {
    let length = || async { Ok(topic.len().await.ok()) };
    // A broker that was just killed answers late, not wrongly.
    let start = eventually("an answer about the topic", length).await?;
    reached(topic, start + by).await
}

/// Waits until the topic is so long.
pub(crate) async fn reached(topic: &Topic, length: i64) -> Result<()> {
    eventually(&format!("{length} records in {}", topic.name()), || async move {
        Ok(topic.len().await.ok().filter(|&now| now >= length).map(drop))
    })
    .await
}
