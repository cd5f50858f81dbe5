//! What is parked stays parked, and what would overtake it is parked behind it.

use anyhow::{Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;

use super::gap::{ask, is_replay};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_gap_waits_behind_a_parked_event_of_its_key() -> Result<()> {
    let scene = Scene::new().await?;
    let limit = [("max.message.bytes", "100000")];
    let topic = scene.cluster.create_topic(&scene.topic_name(), 2, &limit).await?;
    let mut relay = scene.relay().start().await?;
    insert(&scene, "parked", "1").await?;
    insert(&scene, "parked", LARGE).await?;
    insert(&scene, "parked", "3").await?;
    insert(&scene, "free", "1").await?;
    wait_letters(&scene, 2).await?;
    topic.read_at_least(2).await?;
    ensure!(relay.terminate().await?.success());
    scene.database.wait_slot_inactive().await?;

    let slot = scene.database.slot();
    scene.database.execute(&format!("select pg_drop_replication_slot('{slot}')")).await?;
    insert(&scene, "parked", "4").await?;
    insert(&scene, "free", "2").await?;
    let planned = ask(&scene, &["repair", "--dry-run", "--json"]).await?.expect(0)?;
    wait_letters(&scene, 2).await?;
    for report in [planned, ask(&scene, &["repair", "--yes", "--json"]).await?.expect(0)?] {
        let rows = &report["gap"]["rows"];
        // The first of the key was published before the other was parked: nothing tells.
        ensure!(rows["withheld"] == 2 && rows["behind"] == 2 && rows["rows"] == 2, "{report}");
    }
    wait_letters(&scene, 4).await?;
    ensure!(topic.len().await? == 4, "something of the parked key was published");

    let mut relay = scene.relay().start().await?;
    scene.cluster.alter_topic(topic.name(), &[("max.message.bytes", "1000000")]).await?;
    let at = ["--database-url", scene.database.url(), "--kafka", scene.cluster.bootstrap()];
    let args: Vec<&str> = ["dlq", "retry", "--key", "parked"].iter().chain(&at).copied().collect();
    ensure!(RelayCommand::bare(&args).spawn()?.wait().await?.success());
    wait_letters(&scene, 0).await?;
    let records = topic.read_at_least(8).await?;
    let of_key: Vec<&Record> = records.iter().filter(|it| it.key_text() == "parked").collect();
    let values: Vec<String> =
        of_key.iter().map(|it| it.value_text().chars().take(1).collect()).collect();
    // In the order of the key, but for the repeat of what came before.
    ensure!(values == ["1", "\"", "3", "1", "4"], "{values:?}");
    ensure!(of_key.iter().skip(1).all(|it| is_replay(it)), "not marked");
    insert(&scene, "parked", "5").await?;
    let records = topic.read_at_least(9).await?;
    let last = records.iter().find(|it| it.value_text() == "5");
    ensure!(last.is_some_and(|it| !is_replay(it)), "the key was not released");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

async fn insert(scene: &Scene, key: &str, payload: &str) -> Result<()> {
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         values ('{}', '{key}', 'T', to_jsonb({payload}))",
        scene.kind()
    );
    scene.database.execute(&sql).await
}

/// Waits until so many events are not done with.
async fn wait_letters(scene: &Scene, unresolved: i64) -> Result<()> {
    let sql = "select count(*) from outbox.dead_letters where resolved_at is null";
    eventually(&format!("{unresolved} dead letters"), || async move {
        let rows = scene.database.query(sql).await?;
        Ok((rows[0].get::<_, i64>(0) == unresolved).then_some(()))
    })
    .await
}

/// Twice as much as the topic takes.
const LARGE: &str = "(select string_agg(md5(i::text), '') from generate_series(1, 6250) i)";
