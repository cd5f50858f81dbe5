//! G5 and G6: one relay that stays alive repeats nothing, whatever happens to Postgres.

use std::time::Duration;

use anyhow::{Result, ensure};
use outboxd_sandbox::{Brokers, StopMode};
use outboxd_tests::patience::eventually;
use outboxd_tests::random::Random;
use outboxd_tests::relay::RelayProcess;
use outboxd_tests::rounds::Rounds;
use outboxd_tests::scene::Scene;
use tokio::time::sleep;

use crate::mode::Mode;
use crate::stage::{Stage, grown};

#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_crashes_of_postgres_repeat_nothing() -> Result<()> {
    restarts_and_crashes(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_crashes_of_postgres_repeat_nothing_exactly_once() -> Result<()> {
    restarts_and_crashes(Mode::ExactlyOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walsender_killed_again_and_again_repeats_nothing() -> Result<()> {
    killed_walsenders(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walsender_killed_again_and_again_repeats_nothing_exactly_once() -> Result<()> {
    killed_walsenders(Mode::ExactlyOnce).await
}

async fn restarts_and_crashes(mode: Mode) -> Result<()> {
    let mut rounds = Rounds::of(2);
    while !rounds.are_over() {
        restart_and_crash(mode, &mut rounds).await?;
    }
    rounds.passed("restart and crash of Postgres");
    Ok(())
}

/// Several rounds under one relay.
async fn restart_and_crash(mode: Mode, rounds: &mut Rounds) -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    // Progress that lags, so that the window alone prevents repeats. In exactly-once mode it is
    // progress that does.
    let relay = match mode {
        Mode::AtLeastOnce => stage.relay().set("delivery.progress_interval", "5s"),
        Mode::ExactlyOnce => mode.on(stage.relay()),
    };
    let relay = relay.start().await?;
    let writers = stage.load().await?;
    for _ in rounds.take(RESTARTS_OF_ONE_RELAY) {
        for stop in [StopMode::Fast, StopMode::Immediate] {
            grown(&stage.topic, 200).await?;
            let mark = relay.mark();
            stage.postgres.stop(stop).await?;
            stage.postgres.start_again().await?;
            relay.wait_event_after(mark, "slot.streaming").await?;
            expect_reconnected(&relay, mark)?;
        }
    }
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    stage.reopen().await?;
    stage.conclude(mode, relay).await?.expect_perfect()
}

async fn killed_walsenders(mode: Mode) -> Result<()> {
    let mut rounds = Rounds::of(10);
    let mut random = rounds.random();
    while !rounds.are_over() {
        kill_walsenders(mode, &mut rounds, &mut random).await?;
    }
    rounds.passed("walsender killed");
    Ok(())
}

/// Several rounds under one relay.
async fn kill_walsenders(mode: Mode, rounds: &mut Rounds, random: &mut Random) -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let relay = mode.on(scene.relay()).set("errors.backoff", "50ms..200ms").start().await?;
    let writers = scene.load().await?;
    for _ in rounds.take(KILLS_OF_ONE_RELAY) {
        // A moment anywhere in the opening of a session or in its stream.
        sleep(Duration::from_millis(random.below(1_000))).await;
        eventually("a walsender to kill", || async {
            let killed = scene.database.terminate_walsenders().await?;
            Ok((killed > 0).then_some(()))
        })
        .await?;
    }
    writers.stop().await?;
    mode.conclude(&scene.database, &topic, scene.kind(), relay).await?.expect_perfect()
}

fn expect_reconnected(relay: &RelayProcess, mark: usize) -> Result<()> {
    let lines = relay.lines();
    let lost = lines[mark..].iter().any(|line| line.event() == "session.lost");
    ensure!(lost, "the relay did not notice that its session was gone");
    Ok(())
}

/// So that what has to be compared at the end stays small.
const RESTARTS_OF_ONE_RELAY: usize = 5;
const KILLS_OF_ONE_RELAY: usize = 30;
