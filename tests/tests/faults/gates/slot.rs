//! The slot is not what it was.

use anyhow::Result;
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};
use outboxd_tests::database::Database;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::relay_on;
use outboxd_tests::scene::Scene;

use super::{Settled, publish_one};

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
    let settings =
        [("max_slot_wal_keep_size", "16MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let postgres = Postgres::start(PgOptions { settings, ..PgOptions::of(PgVersion::V17) }).await?;
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(1).await?;
    let database = Database::create(&postgres, scene.kind()).await?;
    database.create_outbox().await?;
    let relay = relay_on(&database, scene.cluster.bootstrap());
    publish_one(&database, scene.kind(), &topic, &relay).await?;
    let lost = "select wal_status = 'lost' from pg_replication_slots";
    eventually("the slot lost", || async {
        // A segment each time, whatever is in it.
        database.execute("select pg_logical_emit_message(false, 'fill', 'x')").await?;
        database.execute("select pg_switch_wal()").await?;
        database.execute("checkpoint").await?;
        let rows = database.query(lost).await?;
        Ok(rows.iter().any(|row| row.get(0)).then_some(()))
    })
    .await?;
    relay.spawn()?.wait_stop(10, "slot_lost").await.map(drop)
}

fn create(slot: &str, arguments: &str) -> String {
    format!("select pg_create_logical_replication_slot('{slot}', {arguments})")
}
