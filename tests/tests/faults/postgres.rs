//! G5: one relay that stays alive repeats nothing, whatever happens to Postgres.

use std::time::Duration;

use anyhow::{Result, ensure};
use outboxd_sandbox::{Brokers, StopMode};
use outboxd_tests::random::Random;
use outboxd_tests::relay::RelayProcess;
use outboxd_tests::scene::Scene;
use outboxd_tests::workload::Workload;
use tokio::time::{Instant, sleep_until};

use crate::stage::{Stage, conclude, grown};

#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_crashes_of_postgres_repeat_nothing() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    // Progress that lags, so that the window alone prevents repeats.
    let relay = stage.relay().set("delivery.progress_interval", "5s").start().await?;
    let writers = endless(stage.kind()).start(&stage.database).await?;
    for mode in [StopMode::Fast, StopMode::Immediate, StopMode::Fast, StopMode::Immediate] {
        grown(&stage.topic, 200).await?;
        let mark = relay.mark();
        stage.postgres.stop(mode).await?;
        stage.postgres.start_again().await?;
        relay.wait_event_after(mark, "slot.streaming").await?;
        expect_reconnected(&relay, mark)?;
    }
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    stage.reopen().await?;
    stage.conclude(relay).await?.expect_perfect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walsender_killed_again_and_again_repeats_nothing() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let relay = scene.relay().set("errors.backoff", "50ms..200ms").start().await?;
    let writers = endless(scene.kind()).start(&scene.database).await?;
    let seed = u64::from(std::process::id());
    println!("seed of the kills: {seed}");
    let mut random = Random::new(seed);
    let end = Instant::now() + Duration::from_secs(20);
    let mut killed = 0;
    while Instant::now() < end {
        // A moment anywhere in the opening of a session or in its stream.
        sleep_until(Instant::now() + Duration::from_millis(random.below(1_000))).await;
        killed += scene.database.query(TERMINATE).await?.len();
    }
    println!("{killed} walsenders killed");
    ensure!(killed >= 10, "only {killed} walsenders were there to be killed");
    writers.stop().await?;
    conclude(&scene.database, &topic, scene.kind(), relay).await?.expect_perfect()
}

fn endless(kind: &str) -> Workload {
    Workload { transactions: None, ..Workload::new(kind) }
}

fn expect_reconnected(relay: &RelayProcess, mark: usize) -> Result<()> {
    let lines = relay.lines();
    let lost = lines[mark..].iter().any(|line| line.event() == "session.lost");
    ensure!(lost, "the relay did not notice that its session was gone");
    Ok(())
}

const TERMINATE: &str = "
    select pg_terminate_backend(pid) from pg_stat_activity
    where backend_type = 'walsender' and datname = current_database()";
