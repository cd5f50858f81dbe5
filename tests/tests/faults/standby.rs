//! G9 under kills and freezes: one relay is active, and what it leaves the next one goes on with.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::Brokers;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::RelayProcess;
use outboxd_tests::workload::Running;

use crate::kills::repeats_max;
use crate::mode::Mode;
use crate::stage::{Stage, grown};

#[tokio::test(flavor = "multi_thread")]
async fn of_three_one_is_active_and_a_killed_one_is_followed_by_another() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    let command = stage.relay();
    // The slot is there before they compete for it.
    command.start().await?.terminate().await?;
    let mut relays = vec![command.spawn()?, command.spawn()?, command.spawn()?];
    let writers = stage.load().await?;
    let mut allowed = 0;
    for _ in 0..KILLS {
        let mut active = relays.remove(active(&relays).await?);
        allowed += repeats_max(&active).await?;
        grown(&stage.topic, 200).await?;
        expect_no_two_stream(&stage).await?;
        active.kill().await?;
        relays.push(command.spawn()?);
    }
    let last = relays.remove(active(&relays).await?);
    allowed += repeats_max(&last).await?;
    grown(&stage.topic, 200).await?;
    expect_no_two_stream(&stage).await?;
    writers.stop().await?;
    stage.database.wait_confirmed(stage.database.wal_position().await?).await?;
    // Those that stand by take nothing over from one that ends after them.
    for mut relay in relays {
        relay.kill().await?;
    }
    stage.conclude(Mode::AtLeastOnce, last).await?.expect_repeats_up_to(allowed)
}

/// The server gives a frozen relay up. When it wakes, what it still holds is not sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_relay_loses_its_place_and_repeats_nothing_when_it_wakes() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    let command = stage.relay().set("source.wal_sender_timeout", "4s");
    let first = command.start().await?;
    let second = command.spawn()?;
    second.wait_event("relay.standby").await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 200).await?;
    first.freeze().await?;
    let mark = first.mark();
    let woken = replaced(&stage, first, second, writers).await?;
    woken.wait_event_after(mark, "session.closed").await.map(drop)
}

/// One that has the lock and does not stream sends pings, and idle_session_timeout misses them.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_relay_that_does_not_stream_loses_the_lock_too() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let command = stage.relay().set("source.release_after", "2s");
    let first = command.start().await?;
    let second = command.spawn()?;
    second.wait_event("relay.standby").await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 200).await?;
    stage.kafka.freeze_broker(1).await?;
    first.wait_event("slot.released").await?;
    first.freeze().await?;
    stage.kafka.thaw_broker(1).await?;
    replaced(&stage, first, second, writers).await.map(drop)
}

/// The second takes the place of a frozen one, which wakes then and stands by.
async fn replaced(
    stage: &Stage,
    mut first: RelayProcess,
    second: RelayProcess,
    writers: Running,
) -> Result<RelayProcess> {
    let allowed = repeats_max(&second).await?;
    second.wait_event("slot.streaming").await?;
    grown(&stage.topic, 200).await?;
    let mark = first.mark();
    first.thaw()?;
    first.wait_event_after(mark, "relay.standby").await?;
    grown(&stage.topic, 200).await?;
    expect_no_two_stream(stage).await?;
    writers.stop().await?;
    // Repeats make the topic longer than the table before all of it is published.
    stage.database.wait_confirmed(stage.database.wal_position().await?).await?;
    first.kill().await?;
    let mut verdict = stage.conclude(Mode::AtLeastOnce, second).await?;
    // What the frozen one had handed to its client is written when it wakes, between the records of
    // the other: nothing new, but no stream in itself.
    verdict.holes.clear();
    verdict.expect_repeats_up_to(allowed)?;
    Ok(first)
}

#[tokio::test(flavor = "multi_thread")]
async fn standing_by_leaves_no_line_in_the_log_of_the_server() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    stage.database.execute("alter system set log_lock_waits = on").await?;
    stage.database.execute("select pg_reload_conf()").await?;
    let first = stage.relay().start().await?;
    let mut second = stage.relay().spawn()?;
    second.wait_event("relay.standby").await?;
    let before = stage.postgres.log().await?.len();
    let mut slices = BTreeSet::new();
    while slices.len() < SLICES {
        let slice = eventually("another slice of waiting", || async {
            let rows = stage.database.query(WAITING).await?;
            let since = rows.first().map(|row| row.get::<_, String>("since"));
            Ok(since.filter(|since| !slices.contains(since)))
        })
        .await?;
        slices.insert(slice);
    }
    let log = stage.postgres.log().await?;
    let said = log.get(before..).context("the log only grows")?;
    ensure!(said.trim().is_empty(), "the server said:\n{said}");
    second.kill().await?;
    drop(first);
    Ok(())
}

/// Waits until one of them streams.
async fn active(relays: &[RelayProcess]) -> Result<usize> {
    let streams =
        |relay: &RelayProcess| relay.lines().iter().any(|line| line.event() == "slot.streaming");
    eventually("an active relay", || async { Ok(relays.iter().position(streams)) }).await
}

/// Or none, for a moment: a relay that the machine kept from running gives its session up.
async fn expect_no_two_stream(stage: &Stage) -> Result<()> {
    let streaming = stage.database.query(STREAMING).await?;
    ensure!(streaming.len() <= 1, "{} walsenders stream", streaming.len());
    Ok(())
}

const KILLS: usize = 4;
const SLICES: usize = 4;
const STREAMING: &str =
    "select pid from pg_stat_replication where state in ('catchup', 'streaming')";
const WAITING: &str = "
    select query_start::text as since from pg_stat_activity
     where backend_type = 'walsender' and wait_event = 'advisory'";
