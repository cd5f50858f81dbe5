//! Whatever keeps the relay from its work, the server hears from it in time, or gives it up.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use outboxd_sandbox::{Brokers, KafkaOptions, PgOptions, PgVersion};
use outboxd_tests::patience::eventually;
use outboxd_tests::rounds::Rounds;
use outboxd_tests::workload::Workload;
use tokio::process::Command;
use tokio::time::sleep;

use crate::kills::repeats_max;
use crate::mode::Mode;
use crate::outages::walsender;
use crate::server_log::expect_no_timeout;
use crate::stage::{Stage, grown};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_gets_half_of_the_time_is_not_given_up() -> Result<()> {
    let mut rounds = Rounds::of(60);
    let stage = Stage::new(Brokers::One).await?;
    let relay = stage.relay().set("source.wal_sender_timeout", "4s").start().await?;
    let writers = stage.load().await?;
    for _ in rounds.by_ref() {
        relay.freeze().await?;
        sleep(SLICE).await;
        relay.thaw()?;
        sleep(SLICE).await;
    }
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    expect_no_timeout(&stage.postgres).await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()?;
    rounds.passed("stopped and continued");
    Ok(())
}

/// The stream stays open though nothing can be confirmed, and Kafka's client asks again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_frozen_beyond_every_timeout_costs_no_session() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let command = stage
        .relay()
        .file("[kafka.properties]\n\"socket.timeout.ms\" = \"10000\"\n")?
        .set("source.wal_sender_timeout", "4s")
        .set("source.release_after", "10m")
        .set("delivery.max_in_flight_events", "1000");
    let relay = command.start().await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 200).await?;
    let session = walsender(&stage).await?;
    stage.kafka.freeze_broker(1).await?;
    sleep(FROZEN).await;
    ensure!(walsender(&stage).await? == session, "the session was given up");
    stage.kafka.thaw_broker(1).await?;
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    ensure!(walsender(&stage).await? == session, "the session was given up");
    let released = relay.lines().iter().any(|line| line.event() == "slot.released");
    ensure!(!released, "the stream was not kept");
    expect_no_timeout(&stage.postgres).await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_the_brokers_costs_no_session() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    limit_producers(&stage).await?;
    let command = stage
        .relay()
        .set("source.wal_sender_timeout", "4s")
        .set("source.release_after", "10m")
        .set("kafka.compression", "none");
    let relay = command.start().await?;
    let session = walsender(&stage).await?;
    let begun = Instant::now();
    let load = Workload { transactions: Some(400), ..Workload::endless(stage.kind()) };
    load.run(&stage.database).await?;
    stage.database.wait_confirmed(stage.database.wal_position().await?).await?;
    println!("{:?} under the quota", begun.elapsed());
    ensure!(begun.elapsed() > THROTTLED, "the quota did not bite");
    ensure!(walsender(&stage).await? == session, "the session was given up");
    expect_no_timeout(&stage.postgres).await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()
}

/// The relay brings its own: positions are reported by it, and one that is frozen loses its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_timeout_gives_a_frozen_relay_up() -> Result<()> {
    let settings = vec![("wal_sender_timeout".to_owned(), "0".to_owned())];
    let postgres = PgOptions { settings, ..PgOptions::of(PgVersion::V17) };
    let stage = Stage::on(postgres, KafkaOptions::default()).await?;
    let command = stage.relay().set("source.wal_sender_timeout", "4s");
    let mut first = command.start().await?;
    let second = command.spawn()?;
    second.wait_event("relay.standby").await?;
    let mut reported = reply_time(&stage).await?;
    for _ in 0..3 {
        let former = reported.clone();
        reported = eventually("another report of the position", || async {
            Ok(Some(reply_time(&stage).await?).filter(|now| *now != former))
        })
        .await?;
    }
    first.freeze().await?;
    let allowed = repeats_max(&second).await?;
    second.wait_event("slot.streaming").await?;
    first.kill().await?;
    Workload::new(stage.kind()).run(&stage.database).await?;
    let mode = Mode::AtLeastOnce;
    let verdict = stage.conclude(mode, second).await?;
    verdict.expect_repeats_up_to(allowed)
}

async fn reply_time(stage: &Stage) -> Result<String> {
    let rows = stage.database.query(REPLY_TIME).await?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

/// To so many bytes in a second, with Kafka's own tool.
async fn limit_producers(stage: &Stage) -> Result<()> {
    let tools = stage.kafka.tools().await?;
    let mut tool = Command::from(tools.command(&[], "kafka.admin.ConfigCommand"));
    tool.args(["--bootstrap-server", &stage.kafka.bootstrap(), "--alter"])
        .args(["--entity-type", "clients", "--entity-default"])
        .args(["--add-config", "producer_byte_rate=100000"])
        .kill_on_drop(true);
    let said = tool.output().await?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

const REPLY_TIME: &str =
    "select coalesce(reply_time::text, '') from pg_stat_replication where state = 'streaming'";
/// A twentieth of a second of running, and as much of standing still.
const SLICE: Duration = Duration::from_millis(50);
/// Without the quota it takes a fraction of that.
const THROTTLED: Duration = Duration::from_secs(4);
/// Five times the walsender's, twice Kafka's client's.
const FROZEN: Duration = Duration::from_secs(22);
