//! G5: what a SIGKILL in mid-drain may repeat is bounded, and the next start says by how much.

use anyhow::{Context, Result, ensure};
use outboxd_tests::random::Random;
use outboxd_tests::relay::{RelayCommand, RelayProcess};
use outboxd_tests::rounds::Rounds;
use outboxd_tests::scene::Scene;

use crate::bulk;
use crate::stage::reached;
use crate::tally::Tally;

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_and_repeat_no_more_than_the_next_start_says() -> Result<()> {
    let mut rounds = Rounds::of(KILLS);
    let mut random = rounds.random();
    while !rounds.are_over() {
        kill(&mut rounds, &mut random).await?;
    }
    rounds.passed("SIGKILL");
    Ok(())
}

/// So many rounds on one topic, each in the middle of a backlog of its own.
async fn kill(rounds: &mut Rounds, random: &mut Random) -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = scene.relay().set("delivery.max_unrecorded_events", &BOUND.to_string());
    command.start().await?.terminate().await?;
    let (mut rows, mut kills, mut allowed) = (0, 0, 0);
    for _ in rounds.take(KILLS as usize) {
        bulk::write(scene.database.client(), scene.kind(), rows + 1, rows + BACKLOG, 100).await?;
        rows += BACKLOG;
        let start = topic.len().await?;
        let mut relay = command.spawn()?;
        if kills > 0 {
            allowed += repeats_max(&relay).await?;
        }
        reached(&topic, start + random.below(BACKLOG / 2).cast_signed()).await?;
        relay.kill().await?;
        kills += 1;
    }
    let mut relay = command.spawn()?;
    allowed += repeats_max(&relay).await?;
    relay.terminate().await?;
    drain(&command).await?;
    let tally = Tally::of(&scene.cluster, &topic, rows).await?;
    tally.expect_complete()?;
    println!("{kills} kills repeated {} events, {allowed} allowed", tally.repeats());
    ensure!(allowed == kills * BOUND, "{allowed} allowed, after {kills} kills");
    ensure!(tally.repeats() <= allowed, "{} repeats, {allowed} allowed", tally.repeats());
    Ok(())
}

/// What the relay says at its start that its predecessor may have left unrecorded.
pub(crate) async fn repeats_max(relay: &RelayProcess) -> Result<u64> {
    let claimed = relay.wait_event("progress.claimed").await?;
    claimed.number("repeats_max").context("no repeats_max")
}

/// Publishes everything that is committed.
pub(crate) async fn drain(command: &RelayCommand) -> Result<()> {
    let status = command.clone().arg("--once").spawn()?.wait().await?;
    ensure!(status.success(), "the last relay ended with {status}");
    Ok(())
}

const BACKLOG: u64 = 40_000;
const KILLS: u64 = 6;
/// Less than passes between two progress records, so that it is what bounds.
const BOUND: u64 = 1_000;
