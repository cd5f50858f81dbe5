//! The progress topic is gone, or belongs to another system.

use anyhow::{Result, ensure};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};
use outboxd_tests::database::Database;
use outboxd_tests::relay::{RelayCommand, relay_on};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use super::Settled;

#[tokio::test(flavor = "multi_thread")]
async fn a_progress_topic_that_was_deleted() -> Result<()> {
    let settled = Settled::new().await?;
    let progress = progress_topic(&settled);
    settled.scene.cluster.delete_topic(&progress).await?;
    settled.expect_stop(10, "progress_lost").await?;
    // The way out that the hint names.
    settled.insert().await?;
    let mut relay = settled.scene.relay().arg("--adopt-slot").start().await?;
    settled.topic.read_at_least(2).await?;
    ensure!(relay.terminate().await?.success(), "an orderly end");
    settled.scene.relay().start().await?.terminate().await.map(drop)
}

/// Brokers delete nothing of a compacted topic: its policy has to be changed first.
#[tokio::test(flavor = "multi_thread")]
async fn a_progress_topic_whose_policy_was_changed_and_records_deleted() -> Result<()> {
    let settled = Settled::new().await?;
    let cluster = &settled.scene.cluster;
    let progress = progress_topic(&settled);
    cluster.alter_topic(&progress, &[("cleanup.policy", "delete")]).await?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&progress, 0, Offset::End)?;
    let admin: AdminClient<DefaultClientContext> = cluster.config().create()?;
    for deleted in admin.delete_records(&all, &AdminOptions::new()).await?.elements() {
        deleted.error()?;
    }
    settled.expect_stop(78, "config").await?;
    cluster.alter_topic(&progress, &[("cleanup.policy", "compact")]).await?;
    settled.expect_stop(10, "progress_lost").await
}

/// A copy of production with the same names must not disturb production.
#[tokio::test(flavor = "multi_thread")]
async fn another_system_with_the_same_names() -> Result<()> {
    let settled = Settled::new().await?;
    let cluster = &settled.scene.cluster;
    let progress = cluster.topic(&progress_topic(&settled), 1);
    let before = progress.read_all().await?;
    ensure!(!before.is_empty(), "no progress was recorded");

    // A server with arguments of its own is no copy of the sandbox's template.
    let initdb_args = vec!["--no-instructions".to_owned()];
    let options = PgOptions { initdb_args, ..PgOptions::of(PgVersion::V17) };
    let twin = Postgres::start(options).await?;
    let database = Database::create(&twin, settled.scene.database.name()).await?;
    database.create_outbox().await?;
    let create = "select pg_create_logical_replication_slot";
    database.execute(&format!("{create}('{}', 'pgoutput')", database.slot())).await?;
    let relay = relay_on(&database, cluster.bootstrap());
    relay.spawn()?.wait_stop(10, "other_system").await?;
    ensure!(progress.read_all().await? == before, "the twin wrote to the progress topic");

    // Nor is a producer of production shut out: it is at work, and goes on.
    let mode = |relay: RelayCommand| relay.set("delivery.mode", "exactly_once");
    let mut production = mode(settled.scene.relay()).start().await?;
    mode(relay).spawn()?.wait_stop(10, "other_system").await?;
    settled.insert().await?;
    settled.scene.database.wait_confirmed(settled.scene.database.wal_position().await?).await?;
    ensure!(production.terminate().await?.success(), "production was disturbed");

    settled.scene.relay().start().await?.terminate().await.map(drop)
}

fn progress_topic(settled: &Settled) -> String {
    format!("outboxd.progress.{}", settled.slot())
}
