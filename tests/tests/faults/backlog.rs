//! A relay that was away while rows came catches up with those that still come.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use outboxd_tests::scene::Scene;

use crate::bulk;
use crate::stage::reached;
use crate::tally::Tally;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_caught_up_with_under_load() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = scene.relay();
    command.start().await?.terminate().await?;
    bulk::write(scene.database.client(), scene.kind(), 1, BACKLOG, 1_000).await?;

    let (writer, kind) = (scene.database.connect().await?, scene.kind().to_owned());
    let begun = Instant::now();
    let mut relay = command.spawn()?;
    let load = tokio::spawn(async move {
        // One after another, and without a pause.
        bulk::write(&writer, &kind, BACKLOG + 1, BACKLOG + LOAD, 1).await.map(|()| begun.elapsed())
    });
    reached(&topic, i64::try_from(BACKLOG)?).await?;
    let caught_up = begun.elapsed();
    let written = load.await??;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    println!(
        "{} events/s published and {} transactions/s written beside it",
        rate(BACKLOG, caught_up),
        rate(LOAD, written)
    );
    ensure!(relay.terminate().await?.success());
    let tally = Tally::of(&scene.cluster, &topic, BACKLOG + LOAD).await?;
    tally.expect_complete()?;
    ensure!(tally.repeats() == 0, "{} repeats", tally.repeats());
    Ok(())
}

fn rate(count: u64, during: Duration) -> u64 {
    (count as f64 / during.as_secs_f64()).round() as u64
}

const BACKLOG: u64 = 200_000;
const LOAD: u64 = 20_000;
