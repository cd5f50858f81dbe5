//! A database without any outbox table.

use anyhow::{Result, ensure};
use outboxd_sandbox::PgVersion;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;

const MESSAGES_ALONE: &str = "[source]\ntables = []\nmessages_prefix = \"outbox\"\n";

#[tokio::test]
async fn messages_alone_need_no_table_and_are_not_repaired() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(2).await?;
    let setup = command(&scene, &["setup"])?.output().await?;
    ensure!(setup.status.success(), "{setup:?}");
    let tables = "select 1 from pg_publication_tables union all select 1 from pg_class
                   where oid = to_regclass('outbox.events')";
    ensure!(scene.database.query(tables).await?.is_empty(), "a table was made");

    let run = scene.relay().file(MESSAGES_ALONE)?;
    let mut relay = run.start().await?;
    emit(&scene, 1, 50).await?;
    topic.read_at_least(50).await?;
    ensure!(relay.terminate().await?.success());
    scene.database.wait_slot_inactive().await?;
    let drop = format!("select pg_drop_replication_slot('{}')", scene.database.slot());
    scene.database.execute(&drop).await?;
    emit(&scene, 51, 60).await?;

    run.spawn()?.wait_stop(10, "slot_missing").await?;
    for order in ["--dry-run", "--yes"] {
        let command = command(&scene, &["slot", "repair", order])?;
        let lines = command.spawn()?.wait_stop(10, "not_stored").await?;
        ensure!(lines.iter().any(|line| line.event() == "repair.refused"), "it is not logged");
    }
    ensure!(scene.database.confirmed().await?.is_none(), "a slot was created");
    // The position still stands before the gap.
    run.spawn()?.wait_stop(10, "slot_missing").await?;
    ensure!(topic.len().await? == 50);
    Ok(())
}

async fn emit(scene: &Scene, from: u32, to: u32) -> Result<()> {
    let sql = format!(
        "select pg_logical_emit_message(true, 'outbox', json_build_object('v', 1, 'row',
             json_build_object('id', i::text, 'aggregatetype', '{}', 'aggregateid', 'k' || i % 5,
                               'type', 'T', 'payload', null))::text)
           from generate_series({from}, {to}) i",
        scene.kind()
    );
    scene.database.execute(&sql).await
}

fn command(scene: &Scene, words: &[&str]) -> Result<RelayCommand> {
    let at = ["--database-url", scene.database.url(), "--kafka", scene.cluster.bootstrap()];
    let words: Vec<&str> = words.iter().chain(&at).copied().collect();
    RelayCommand::bare(&words).file(MESSAGES_ALONE)
}
