//! Starting, ending, standing by.

use anyhow::{Result, ensure};
use outboxd_tests::checker;
use outboxd_tests::patience::eventually;
use outboxd_tests::scene::Scene;
use outboxd_tests::truth;
use outboxd_tests::workload::Workload;

const PARTITIONS: i32 = 4;

#[tokio::test]
async fn once_publishes_what_is_there_and_ends() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(PARTITIONS).await?;
    let once = scene.relay().arg("--once");
    // The first run has nothing to publish: it makes the slot.
    ensure!(once.spawn()?.wait().await?.success());
    scene.database.execute(&rows(&scene, 1, 5_000)).await?;
    let mut relay = once.spawn()?;
    ensure!(relay.wait().await?.success());
    let truth = truth::read(&scene.database, scene.kind()).await?;
    checker::check(&truth, &topic.read_all().await?, PARTITIONS).expect_perfect()?;
    ensure!(once.spawn()?.wait().await?.success());
    ensure!(topic.len().await? == 5_000);
    Ok(())
}

#[tokio::test]
async fn a_second_relay_does_not_wait_when_told_so() -> Result<()> {
    let scene = Scene::new().await?;
    let mut first = scene.relay().start().await?;
    scene.relay().arg("--no-wait").spawn()?.wait_stop(11, "slot_in_use").await?;
    ensure!(first.is_running()?);
    ensure!(first.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_second_relay_stands_by_and_takes_over_from_a_killed_one() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(PARTITIONS).await?;
    let mut first = scene.relay().start().await?;
    let mut second = scene.relay().spawn()?;
    second.wait_event("relay.standby").await?;
    let writing = endless(&scene).start(&scene.database).await?;
    topic.read_at_least(200).await?;
    first.kill().await?;
    let claimed = second.wait_event("progress.claimed").await?;
    second.wait_event("slot.streaming").await?;
    let sent = usize::try_from(topic.len().await?)?;
    topic.read_at_least(sent + 200).await?;
    writing.stop().await?;

    let truth = truth::read(&scene.database, scene.kind()).await?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(second.terminate().await?.success());
    let verdict = checker::check(&truth, &topic.read_all().await?, PARTITIONS);
    verdict.expect_repeats_up_to(claimed.number("repeats_max").unwrap_or(0))
}

#[tokio::test]
async fn a_standby_takes_over_from_one_that_ends_in_order_without_repeating() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(PARTITIONS).await?;
    let writing = endless(&scene).start(&scene.database).await?;
    let mut active = scene.relay().start().await?;
    for _ in 0..3 {
        let standby = scene.relay().spawn()?;
        standby.wait_event("relay.standby").await?;
        let sent = usize::try_from(topic.len().await?)?;
        topic.read_at_least(sent + 100).await?;
        ensure!(active.terminate().await?.success());
        standby.wait_event("slot.streaming").await?;
        active = standby;
    }
    writing.stop().await?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(active.terminate().await?.success());
    // What was written before the slot existed is not the relay's.
    let first = topic.read_all().await?;
    let seen: std::collections::HashSet<&str> =
        first.iter().filter_map(|record| record.header("id")).collect();
    ensure!(seen.len() == first.len(), "{} of {} repeat", first.len() - seen.len(), first.len());
    Ok(())
}

#[tokio::test]
async fn ends_in_the_middle_of_a_transaction_repeat_nothing() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(PARTITIONS).await?;
    // So slow that each end comes before that of the transaction.
    let slow = scene.relay().set("delivery.max_in_flight_events", "10");
    let mut relay = slow.start().await?;
    scene.database.execute(&rows(&scene, 1, ROWS)).await?;
    for end in 1..=3 {
        let sent = topic.len().await?;
        eventually("more is published", || async {
            Ok((topic.len().await? >= sent + 1_000).then_some(()))
        })
        .await?;
        ensure!(relay.terminate().await?.success());
        ensure!(topic.len().await? < ROWS, "end {end} came after the transaction");
        relay = if end < 3 { slow.start().await? } else { scene.relay().start().await? };
    }
    topic.read_at_least(usize::try_from(ROWS)?).await?;
    ensure!(relay.terminate().await?.success());
    let truth = truth::read(&scene.database, scene.kind()).await?;
    checker::check(&truth, &topic.read_all().await?, PARTITIONS).expect_perfect()
}

fn endless(scene: &Scene) -> Workload {
    Workload { writers: 2, ..Workload::endless(scene.kind()) }
}

/// One transaction.
fn rows(scene: &Scene, from: i64, to: i64) -> String {
    format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select '{}', 'key-' || i % 20, 'T', jsonb_build_object('seq', i)
         from generate_series({from}, {to}) i",
        scene.kind()
    )
}

const ROWS: i64 = 150_000;
