//! Brokers killed under load: nothing lost, nothing repeated, order kept.

use anyhow::{Context, Result};
use outboxd_sandbox::Brokers;
use outboxd_tests::patience::DEADLINE;
use outboxd_tests::workload::Workload;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::stage::{Stage, grown};

#[tokio::test(flavor = "multi_thread")]
async fn the_only_broker_killed_under_load() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let relay = stage.relay().start().await?;
    let writers = endless(stage.kind()).start(&stage.database).await?;
    for _ in 0..3 {
        grown(&stage.topic, 500).await?;
        stage.kafka.kill_broker(1).await?;
        stage.kafka.start_broker_again(1).await?;
    }
    grown(&stage.topic, 500).await?;
    writers.stop().await?;
    stage.conclude(relay).await?.expect_perfect()
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_killed_under_load() -> Result<()> {
    let mut stage = Stage::new(Brokers::Three).await?;
    let relay = stage.relay().start().await?;
    let writers = endless(stage.kind()).start(&stage.database).await?;
    for partition in 0..3 {
        grown(&stage.topic, 500).await?;
        let leader = leader(&stage, partition)?;
        stage.kafka.kill_broker(leader).await?;
        grown(&stage.topic, 500).await?;
        stage.kafka.start_broker_again(leader).await?;
    }
    writers.stop().await?;
    stage.conclude(relay).await?.expect_perfect()
}

fn endless(kind: &str) -> Workload {
    Workload { transactions: None, payload_max: 500, ..Workload::new(kind) }
}

/// The broker that leads a partition now.
fn leader(stage: &Stage, partition: i32) -> Result<usize> {
    let consumer: BaseConsumer = stage.cluster().config().create()?;
    let metadata = consumer.fetch_metadata(Some(stage.topic.name()), DEADLINE)?;
    let topic = metadata.topics().first().context("no such topic")?;
    let found = topic.partitions().iter().find(|it| it.id() == partition);
    usize::try_from(found.context("no such partition")?.leader()).context("no leader")
}
