//! The slot is not what it was.

use anyhow::{Result, ensure};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};
use outboxd_tests::database::Database;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::{RelayCommand, relay_on};
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Topic;

use super::{Settled, insert, publish_one};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_slot() -> Result<()> {
    let settled = Settled::new().await?;
    settled.execute(&format!("select pg_drop_replication_slot('{}')", settled.slot())).await?;
    settled.expect_stop(10, "slot_missing").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_dropped_and_made_again() -> Result<()> {
    let settled = Settled::new().await?;
    let slot = settled.slot();
    settled.execute(&format!("select pg_drop_replication_slot('{slot}')")).await?;
    settled.insert().await?;
    settled.execute(&create(&slot, "'pgoutput'")).await?;
    settled.expect_stop(10, "slot_moved").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_moved_on() -> Result<()> {
    let settled = Settled::new().await?;
    settled.insert().await?;
    let advance = "select pg_replication_slot_advance";
    settled.execute(&format!("{advance}('{}', pg_current_wal_lsn())", settled.slot())).await?;
    settled.expect_stop(10, "slot_moved").await
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_of_another_kind() -> Result<()> {
    let scene = Scene::new().await?;
    let slot = scene.database.slot();
    let physical = format!("select pg_create_physical_replication_slot('{slot}')");
    for create in [physical, create(&slot, "'pgoutput', false, true")] {
        scene.database.execute(&create).await?;
        scene.relay().spawn()?.wait_stop(13, "slot_unusable").await?;
        scene.database.execute(&format!("select pg_drop_replication_slot('{slot}')")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_another_database() -> Result<()> {
    let scene = Scene::new().await?;
    let other = Scene::new().await?;
    other.database.execute(&create(&scene.database.slot(), "'pgoutput'")).await?;
    scene.relay().spawn()?.wait_stop(13, "slot_unusable").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_gave_up_for_its_size() -> Result<()> {
    let lone = Lone::new(PgVersion::V17, &SMALL).await?;
    lone.publish_one().await?;
    lone.lose().await?;
    lone.relay().spawn()?.wait_stop(10, "slot_lost").await.map(drop)
}

/// The server ends the stream, and what the relay is told when it comes back is the reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_gave_up_while_it_was_streamed_from() -> Result<()> {
    let lone = Lone::new(PgVersion::V17, &SMALL).await?;
    let mut relay = lone.relay().start().await?;
    insert(&lone.database, lone.scene.kind()).await?;
    lone.topic.read_at_least(1).await?;
    relay.freeze().await?;
    lone.lose().await?;
    relay.thaw()?;
    relay.wait_stop(10, "slot_lost").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_idle_for_too_long() -> Result<()> {
    let lone = Lone::new(PgVersion::V18, &[("idle_replication_slot_timeout", "1s")]).await?;
    lone.publish_one().await?;
    lone.lose().await?;
    let lines = lone.relay().spawn()?.wait_stop(10, "slot_lost").await?;
    ensure!(lines.iter().any(|line| line.text.contains("idle_timeout")), "no reason: {lines:?}");
    Ok(())
}

/// A server of its own, with these settings.
struct Lone {
    scene: Scene,
    topic: Topic,
    database: Database,
    _postgres: Postgres,
}

impl Lone {
    async fn new(version: PgVersion, settings: &[(&str, &str)]) -> Result<Self> {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let options = PgOptions { settings: settings.collect(), ..PgOptions::of(version) };
        let postgres = Postgres::start(options).await?;
        let scene = Scene::bare(PgVersion::V17).await?;
        let topic = scene.topic(1).await?;
        let database = Database::create(&postgres, scene.kind()).await?;
        database.create_outbox().await?;
        Ok(Self { scene, topic, database, _postgres: postgres })
    }

    fn relay(&self) -> RelayCommand {
        relay_on(&self.database, self.scene.cluster.bootstrap())
    }

    async fn publish_one(&self) -> Result<()> {
        publish_one(&self.database, self.scene.kind(), &self.topic, &self.relay()).await
    }

    /// Writes WAL until the server has given the slot up.
    async fn lose(&self) -> Result<()> {
        let lost = "select wal_status = 'lost' from pg_replication_slots";
        eventually("the slot lost", || async {
            // A segment each time, whatever is in it.
            self.database.execute("select pg_logical_emit_message(false, 'fill', 'x')").await?;
            self.database.execute("select pg_switch_wal()").await?;
            self.database.execute("checkpoint").await?;
            let rows = self.database.query(lost).await?;
            Ok(rows.iter().any(|row| row.get(0)).then_some(()))
        })
        .await
    }
}

fn create(slot: &str, arguments: &str) -> String {
    format!("select pg_create_logical_replication_slot('{slot}', {arguments})")
}

/// Slots may hold back one segment.
const SMALL: [(&str, &str); 3] =
    [("max_slot_wal_keep_size", "16MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
