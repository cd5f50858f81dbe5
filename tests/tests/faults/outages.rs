//! G10: Kafka is away, and Postgres does not suffer for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{Brokers, StopMode};
use outboxd_tests::patience::eventually;
use outboxd_tests::rounds::Rounds;
use tokio::time::sleep;

use crate::mode::Mode;
use crate::oracle::Oracle;
use crate::server_log::expect_no_timeout;
use crate::stage::{Stage, grown};

/// With default settings: the stream is released, the session and its lock stay.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_frozen_for_a_minute() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let relay = stage.relay().start().await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 500).await?;
    let walsender = walsender(&stage).await?;

    stage.kafka.freeze_broker(1).await?;
    let outage = sleep(Duration::from_secs(60));
    relay.wait_event("slot.released").await?;
    outage.await;
    ensure!(self::walsender(&stage).await? == walsender, "the session was given up");
    // It may stream again before the thaw is noticed here.
    let mark = relay.mark();
    stage.kafka.thaw_broker(1).await?;

    relay.wait_event_after(mark, "slot.streaming").await?;
    grown(&stage.topic, 500).await?;
    writers.stop().await?;
    ensure!(self::walsender(&stage).await? == walsender, "the session was given up");
    expect_no_timeout(&stage.postgres).await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stops_fast_while_kafka_is_frozen() -> Result<()> {
    stop_postgres_while_kafka_is_frozen(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stops_fast_while_kafka_is_frozen_exactly_once() -> Result<()> {
    stop_postgres_while_kafka_is_frozen(Mode::ExactlyOnce).await
}

async fn stop_postgres_while_kafka_is_frozen(mode: Mode) -> Result<()> {
    let mut rounds = Rounds::of(2);
    while !rounds.are_over() {
        stop_postgres(mode, &mut rounds).await?;
    }
    rounds.passed(&format!("fast stop of Postgres while Kafka is frozen, {mode:?}"));
    Ok(())
}

/// Several rounds under one relay.
async fn stop_postgres(mode: Mode, rounds: &mut Rounds) -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let release_after = Duration::from_secs(5);
    let relay = mode.on(stage.relay()).set("source.release_after", "5s").start().await?;
    let writers = stage.load().await?;
    for _ in rounds.take(STOPS_OF_ONE_RELAY) {
        grown(&stage.topic, 500).await?;
        let mark = relay.mark();
        stage.kafka.freeze_broker(1).await?;
        wait_unconfirmed(&stage).await?;
        let took = stage.postgres.stop_within(StopMode::Fast, release_after + GRACE).await?;
        println!("pg_ctl stop -m fast took {took:?} while Kafka was away");
        stage.postgres.start_again().await?;
        stage.kafka.thaw_broker(1).await?;
        relay.wait_event_after(mark, "slot.streaming").await?;
        stage.reopen().await?;
    }
    grown(&stage.topic, 500).await?;
    writers.stop().await?;
    expect_no_timeout(&stage.postgres).await?;
    stage.conclude(mode, relay).await?.expect_perfect()
}

/// Nothing is confirmed that Kafka does not have, and the end does not wait for Kafka for ever.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_kafka_is_away_ends_at_the_deadline() -> Result<()> {
    terminate_while_kafka_is_away(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_kafka_is_away_ends_at_the_deadline_exactly_once() -> Result<()> {
    terminate_while_kafka_is_away(Mode::ExactlyOnce).await
}

async fn terminate_while_kafka_is_away(mode: Mode) -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let oracle = Oracle::new(&stage.database).await?;
    let drain_timeout = Duration::from_secs(3);
    let command = mode.on(stage.relay()).set("delivery.drain_timeout", "3s");
    let mut relay = command.start().await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 500).await?;
    stage.kafka.kill_broker(1).await?;
    wait_unconfirmed(&stage).await?;
    writers.stop().await?;

    let asked = Instant::now();
    let status = relay.terminate().await?;
    let took = asked.elapsed();
    ensure!(status.success(), "ended with {status}");
    ensure!(took < drain_timeout + GRACE, "the end took {took:?}");

    stage.kafka.start_broker_again(1).await?;
    let confirmed = stage.database.confirmed().await?.context("no slot")?;
    let records = stage.topic.read_committed().await?;
    oracle.read().await?.expect_published(confirmed, &records)?;
    let relay = command.start().await?;
    let verdict = stage.conclude(mode, relay).await?;
    verdict.expect_repeats_up_to(mode.excused(REPEATS_MAX))
}

/// Waits until something was committed that Kafka cannot have acknowledged.
async fn wait_unconfirmed(stage: &Stage) -> Result<()> {
    let before = stage.database.wal_position().await?;
    eventually("writes while Kafka is away", || async {
        let now = stage.database.wal_position().await?;
        Ok((now.bytes_since(before) > WRITTEN_BYTES).then_some(()))
    })
    .await
}

/// Its process.
pub(crate) async fn walsender(stage: &Stage) -> Result<i32> {
    let rows = stage.database.query(WALSENDERS).await?;
    ensure!(rows.len() == 1, "{} walsenders", rows.len());
    rows.first().map(|row| row.get(0)).context("no walsender")
}

const WALSENDERS: &str = "select pid from pg_stat_activity where backend_type = 'walsender'";
/// The default of `delivery.max_unrecorded_events`.
const REPEATS_MAX: u64 = 50_000;
const WRITTEN_BYTES: u64 = 5_000;
/// So that what has to be compared at the end stays small.
const STOPS_OF_ONE_RELAY: usize = 5;
/// What may pass beyond a promised time.
const GRACE: Duration = Duration::from_secs(5);
