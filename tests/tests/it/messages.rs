//! Logical messages, transactional or not, beside the rows and between them: they count as changes
//! of a transaction and are published as nothing.

use anyhow::{Context, Result, ensure};
use outboxd_tests::checker;
use outboxd_tests::scene::Scene;
use outboxd_tests::truth;

#[tokio::test]
async fn messages_around_rows_are_passed_over() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = scene.relay().start().await?;
    scene.database.execute("select pg_logical_emit_message(false, 'x', 'alone')").await?;
    scene.database.execute("select pg_logical_emit_message(true, 'x', 'alone')").await?;
    scene.database.execute(&rows_and_messages(&scene, 1, 50)).await?;
    scene.database.execute(&rows_and_messages(&scene, 51, 100)).await?;
    let rows = truth::read(&scene.database, scene.kind()).await?;
    topic.read_at_least(100).await?;
    ensure!(relay.terminate().await?.success());
    let records = topic.read_all().await?;
    checker::check(&rows, &records, 4).expect_perfect()?;
    // 50 rows and the 25 messages that belong to the transaction, counted from 0.
    let last = records.iter().filter_map(|record| record.header("sequence")?.get(22..)).max();
    ensure!(last == Some("0000004A"), "{last:?}");
    Ok(())
}

#[tokio::test]
async fn a_death_between_rows_and_messages_repeats_no_more_than_was_said() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = scene
        .relay()
        .set("delivery.max_unrecorded_events", "2000")
        .set("delivery.progress_interval", "20ms");
    command.start().await?.terminate().await?;
    scene.database.execute(&rows_and_messages(&scene, 1, ROWS)).await?;
    for _ in 0..DEATHS {
        command.die_at(ACKED).await?;
    }
    let mut relay = command.spawn()?;
    let claimed = relay.wait_event("progress.claimed").await?;
    let bound = claimed.number("repeats_max").context("a bound is logged")?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(relay.terminate().await?.success());
    let rows = truth::read(&scene.database, scene.kind()).await?;
    let verdict = checker::check(&rows, &topic.read_all().await?, 4);
    verdict.expect_repeats_up_to(DEATHS * bound)
}

/// One transaction with a message of either kind before each row. The second kind is decoded where
/// it was written, before the transaction that it stands in.
fn rows_and_messages(scene: &Scene, from: i64, to: i64) -> String {
    format!(
        "do $$ begin for i in {from}..{to} loop
            perform pg_logical_emit_message(i % 2 = 0, 'x', repeat('m', (i % 50)::int));
            insert into outbox.events (aggregatetype, aggregateid, type, payload)
            values ('{}', 'key-' || i % 10, 'T', jsonb_build_object('seq', i));
        end loop; end $$",
        scene.kind()
    )
}

const ROWS: i64 = 30_000;
const DEATHS: u64 = 3;
/// All of them before the end.
const ACKED: &str = "acked:9000";
