//! G6: who reads what is committed sees every event once, and of each transaction of the database all
//! or nothing, whatever is killed, frozen or cut.

use anyhow::{Result, ensure};
use outboxd_sandbox::Brokers;
use outboxd_tests::patience::eventually;
use outboxd_tests::random::Random;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::rounds::Rounds;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::{Cluster, Topic};
use outboxd_tests::workload::Workload;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::task::spawn_blocking;

use crate::bulk;
use crate::mode::Mode;
use crate::stage::{Stage, grown, reached};
use crate::tally::Tally;

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_mixed_load_once_and_in_order() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    let relay = exactly_once(stage.relay()).start().await?;
    Workload::new(stage.kind()).run(&stage.database).await?;
    stage.conclude(Mode::ExactlyOnce, relay).await?.expect_perfect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_repeat_nothing_and_tear_nothing() -> Result<()> {
    let mut rounds = Rounds::of(KILLS);
    let mut random = rounds.random();
    while !rounds.are_over() {
        kill(&mut rounds, &mut random).await?;
    }
    rounds.passed("SIGKILL, exactly once");
    Ok(())
}

/// So many rounds on one topic, each in the middle of a backlog of its own.
async fn kill(rounds: &mut Rounds, random: &mut Random) -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = exactly_once(scene.relay());
    command.start().await?.terminate().await?;
    let mut rows = 0;
    for _ in rounds.take(KILLS as usize) {
        let (first, last) = (rows + 1, rows + BACKLOG);
        bulk::write(scene.database.client(), scene.kind(), first, last, PER_TRANSACTION).await?;
        rows = last;
        let start = topic.len().await?;
        let mut relay = command.spawn()?;
        reached(&topic, start + random.below(BACKLOG / 2).cast_signed()).await?;
        relay.kill().await?;
        let tally = Tally::of_committed(&scene.cluster, &topic, rows).await?;
        println!("{} of {rows} rows are committed", tally.seen());
        tally.expect_whole(PER_TRANSACTION as usize)?;
        ensure!(tally.repeats() == 0, "{} repeats", tally.repeats());
    }
    once(&command).await?;
    expect_once(&scene.cluster, &topic, rows).await
}

/// A terminated relay leaves what it has not read to the end, and its successor begins it anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_is_whole_or_not_there() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = exactly_once(scene.relay());
    command.start().await?.terminate().await?;
    bulk::write(scene.database.client(), scene.kind(), 1, LARGE, LARGE).await?;
    let mut relay = command.spawn()?;
    reached(&topic, LARGE.cast_signed() / 10).await?;
    ensure!(relay.terminate().await?.success());
    let tally = Tally::of_committed(&scene.cluster, &topic, LARGE).await?;
    println!("{} rows are committed", tally.seen());
    tally.expect_whole(LARGE as usize)?;
    once(&command).await?;
    expect_once(&scene.cluster, &topic, LARGE).await
}

/// Above the limit a transaction is split, and the position tells how far it came.
#[tokio::test(flavor = "multi_thread")]
async fn a_split_transaction_is_not_repeated_either() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = exactly_once(scene.relay()).set("delivery.max_transaction_bytes", "256KiB");
    command.start().await?.terminate().await?;
    bulk::write(scene.database.client(), scene.kind(), 1, LARGE, LARGE).await?;
    command.die_at("transaction_committed:2").await?;
    let seen = Tally::of_committed(&scene.cluster, &topic, LARGE).await?.seen();
    ensure!(seen > 0 && seen < LARGE, "{seen} rows: it was not split");
    once(&command).await?;
    expect_once(&scene.cluster, &topic, LARGE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_relay_writes_nothing_more_when_it_wakes() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    let command = exactly_once(stage.relay()).set("source.wal_sender_timeout", "4s");
    let mut first = command.start().await?;
    let second = command.spawn()?;
    second.wait_event("relay.standby").await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 200).await?;
    first.freeze().await?;
    second.wait_event("slot.streaming").await?;
    grown(&stage.topic, 200).await?;
    let mark = first.mark();
    // Whether it hears of it from Kafka or looks at its clock first.
    first.expect_error("producer.failed");
    first.thaw()?;
    first.wait_event_after(mark, "relay.standby").await?;
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    let verdict = stage.conclude(Mode::ExactlyOnce, second).await?;
    first.kill().await?;
    verdict.expect_perfect()
}

/// Somebody else starts a producer with the same transactional id, writes, and dies in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_dies_in_a_transaction_holds_nobody_up() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    let relay = exactly_once(stage.relay()).expect_error("producer.failed").start().await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 200).await?;
    let mark = relay.mark();
    let twin = twin(&stage).await?;
    relay.wait_event_after(mark, "producer.failed").await?;
    relay.wait_event_after(mark, "slot.streaming").await?;
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    // What the twin wrote is never committed.
    let verdict = stage.conclude(Mode::ExactlyOnce, relay).await?;
    drop(twin);
    verdict.expect_perfect()
}

/// The brokers end the transaction of a relay that stands still, and shut it out. It is alone, so it
/// has to come back by itself. Frozen between two transactions it would just go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_relay_frozen_beyond_the_life_of_a_transaction_begins_it_anew() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    let command = exactly_once(stage.relay()).set("delivery.max_transaction_time", "1s");
    let command = command.set("failpoint", "acked:200:freeze").expect_error("producer.failed");
    let relay = command.start().await?;
    let writers = stage.load().await?;
    relay.wait_frozen().await?;
    wait_until_readable(&stage).await?;
    let mark = relay.mark();
    relay.thaw()?;
    relay.wait_event_after(mark, "slot.streaming").await?;
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    stage.conclude(Mode::ExactlyOnce, relay).await?.expect_perfect()
}

/// Nobody comes after it. Those who read committed records wait for a while, not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_relay_left_open_holds_readers_up_for_a_while_only() -> Result<()> {
    let stage = Stage::new(Brokers::One).await?;
    let command = exactly_once(stage.relay()).set("delivery.max_transaction_time", "1s");
    command.start().await?.terminate().await?;
    bulk::write(stage.database.client(), stage.kind(), 1, LARGE, LARGE).await?;
    command.die_at("acked:200").await?;
    let rows = Tally::of_committed(&stage.cluster(), &stage.topic, LARGE).await?.seen();
    ensure!(rows == 0, "{rows} rows of an open transaction can be read");
    wait_until_readable(&stage).await?;
    once(&command).await?;
    expect_once(&stage.cluster(), &stage.topic, LARGE).await
}

fn exactly_once(command: RelayCommand) -> RelayCommand {
    command.set("delivery.mode", "exactly_once")
}

async fn once(command: &RelayCommand) -> Result<()> {
    let status = command.clone().arg("--once").spawn()?.wait().await?;
    ensure!(status.success(), "the last relay ended with {status}");
    Ok(())
}

/// All of it is committed, and no row twice.
async fn expect_once(cluster: &Cluster, topic: &Topic, rows: u64) -> Result<()> {
    let tally = Tally::of_committed(cluster, topic, rows).await?;
    tally.expect_complete()?;
    ensure!(tally.repeats() == 0, "{} repeats", tally.repeats());
    Ok(())
}

/// Waits until no transaction is open in the topic.
async fn wait_until_readable(stage: &Stage) -> Result<()> {
    eventually("the end of what is open", || async {
        let (written, readable) =
            (stage.topic.end_offsets().await?, stage.topic.readable_offsets().await?);
        Ok((written == readable).then_some(()))
    })
    .await
}

async fn twin(stage: &Stage) -> Result<BaseProducer> {
    // The name is that of the slot by default.
    let id = format!("outboxd.outboxd_{}", stage.database.name());
    let mut config: ClientConfig = stage.cluster().config();
    config.set("transactional.id", id);
    let producer: BaseProducer = config.create()?;
    let topic = stage.topic.name().to_owned();
    spawn_blocking(move || {
        producer.init_transactions(CALL)?;
        producer.begin_transaction()?;
        let record = BaseRecord::<[u8], [u8]>::to(&topic).payload(b"never").key(b"key");
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(CALL)?;
        anyhow::Ok(producer)
    })
    .await?
}

const CALL: std::time::Duration = std::time::Duration::from_secs(30);
const BACKLOG: u64 = 40_000;
const PER_TRANSACTION: u64 = 100;
const KILLS: u64 = 5;
const LARGE: u64 = 20_000;
