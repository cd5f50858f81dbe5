//! One transaction of a million rows: it is never held in memory, and an end in its middle, orderly
//! or not, costs what an end anywhere else costs.

use anyhow::{Result, ensure};
use outboxd_tests::relay::RelayProcess;
use outboxd_tests::scene::Scene;

use crate::bulk;
use crate::kills::{drain, repeats_max};
use crate::stage::reached;
use crate::tally::Tally;

#[tokio::test(flavor = "multi_thread")]
async fn a_million_rows_in_one_transaction() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = scene.relay();
    command.start().await?.terminate().await?;
    bulk::write(scene.database.client(), scene.kind(), 1, ROWS, ROWS).await?;

    // SIGTERM: what was published is recorded to the last change, so nothing is repeated.
    let mut relay = command.spawn()?;
    reached(&topic, 100_000).await?;
    expect_flat(&relay)?;
    ensure!(relay.terminate().await?.success(), "SIGTERM is an orderly end");
    let published = u64::try_from(topic.len().await?)?;

    let mut relay = command.spawn()?;
    let partial = relay.wait_event("progress.claimed").await?.number("partial");
    ensure!(partial == Some(published), "{partial:?} recorded, {published} published");
    reached(&topic, 300_000).await?;
    expect_flat(&relay)?;
    relay.kill().await?;

    // SIGKILL: the tail that was not recorded is repeated.
    let mut relay = command.spawn()?;
    let allowed = repeats_max(&relay).await?;
    reached(&topic, 500_000).await?;
    expect_flat(&relay)?;
    ensure!(relay.terminate().await?.success(), "SIGTERM is an orderly end");
    drain(&command).await?;

    let tally = Tally::of(&scene.cluster, &topic, ROWS).await?;
    tally.expect_complete()?;
    let repeats = tally.repeats();
    println!("the kill repeated {repeats} events, {allowed} allowed");
    ensure!(repeats <= allowed, "{repeats} repeats, {allowed} allowed");
    ensure!(tally.repeats_from(published + 1) == repeats, "SIGTERM repeated something");
    Ok(())
}

fn expect_flat(relay: &RelayProcess) -> Result<()> {
    let peak = relay.peak_rss_bytes()?;
    println!("peak of the resident set: {} MiB", peak >> 20);
    ensure!(peak < PEAK_MAX_BYTES, "{peak} bytes are not flat");
    Ok(())
}

const ROWS: u64 = 1_000_000;
/// Far above what a relay with default settings takes, far below the transaction.
const PEAK_MAX_BYTES: u64 = 96 << 20;
