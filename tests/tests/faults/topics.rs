//! Topics change while they are written to.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, ensure};
use outboxd_core::lsn::Lsn;
use outboxd_tests::checker::check;
use outboxd_tests::patience::eventually;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::{Record, Topic};
use outboxd_tests::truth::{self, Row};
use outboxd_tests::workload::Workload;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use crate::mode::Mode;
use crate::stage::grown;

#[tokio::test(flavor = "multi_thread")]
async fn more_partitions_under_load_stop_the_relay() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = scene.relay().set("topic.on_partitions_changed", "stop").start().await?;
    let writers = load(&scene).start(&scene.database).await?;
    grown(&topic, 200).await?;
    raise_partitions(&scene, &topic).await?;
    relay.wait_stop(13, "partitions_changed").await?;
    writers.stop().await?;
    let records = scene.cluster.topic(topic.name(), 8).read_all().await?;
    ensure!(records.iter().all(|record| record.partition < 4), "it used the new partitions");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_partitions_under_load_are_used_from_one_transaction_on() -> Result<()> {
    go_over(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn more_partitions_under_load_are_used_exactly_once() -> Result<()> {
    go_over(Mode::ExactlyOnce).await
}

async fn go_over(mode: Mode) -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = mode.on(scene.relay()).set("topic.on_partitions_changed", "switch");
    let mut relay = command.start().await?;
    let writers = load(&scene).start(&scene.database).await?;
    grown(&topic, 200).await?;
    let topic = raise_partitions(&scene, &topic).await?;
    let switched = relay.wait_event("topic.partitions_switched").await?;
    let at: Lsn = switched.field("lsn").parse()?;
    grown(&topic, 200).await?;
    writers.stop().await?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(relay.terminate().await?.success());

    let failed = relay.lines().iter().any(|line| line.event() == "producer.failed");
    ensure!(!failed, "the producer did not know the new partitions");
    let records = topic.read_committed().await?;
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for record in records {
        if commit_of(&record)? < at { old.push(record) } else { new.push(record) }
    }
    ensure!(!old.is_empty() && !new.is_empty(), "{} before, {} after", old.len(), new.len());
    let published: HashMap<&str, ()> =
        old.iter().filter_map(|record| Some((record.header("id")?, ()))).collect();
    let rows = truth::read(&scene.database, scene.kind()).await?;
    let (before, after): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| published.contains_key(row.id.as_str()));
    check(&before, &old, 4).expect_perfect().context("before the switch")?;
    check(&after, &new, 8).expect_perfect().context("after the switch")
}

/// Nobody makes it again: what was committed since is parked, in its order.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_deleted_topic_wait_and_are_parked() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let relay = scene.relay().expect_error("producer.failed").start().await?;
    let writers = load(&scene).start(&scene.database).await?;
    grown(&topic, 200).await?;
    // Before the topic goes: how many would be parked else is the machine's affair.
    writers.stop().await?;
    let mark = relay.mark();
    scene.cluster.delete_topic(topic.name()).await?;
    scene.database.execute(&late(scene.kind())).await?;
    // Kafka's client and the relay each give the topic half a minute.
    relay.wait_event_after(mark, "topic.unavailable").await?;
    relay.wait_event_after(mark, "publish.parked").await?;
    eventually("the late events parked", || async {
        let rows = scene.database.query(LATE_LETTERS).await?;
        let numbers: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        Ok((numbers == (1..=LATE).collect::<Vec<_>>()).then_some(()))
    })
    .await?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_soon_is_used_again() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = scene.relay().expect_error("producer.failed").start().await?;
    let writers = load(&scene).start(&scene.database).await?;
    grown(&topic, 200).await?;
    let mark = relay.mark();
    scene.cluster.delete_topic(topic.name()).await?;
    relay.wait_event_after(mark, "topic.unavailable").await?;
    let topic = scene.topic(4).await?;
    grown(&topic, 500).await?;
    writers.stop().await?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(relay.terminate().await?.success());

    let parked = scene.database.query("select 1 from outbox.dead_letters").await?.len();
    ensure!(parked == 0, "{parked} events were parked");
    let records = topic.read_all().await?;
    let rows = truth::read(&scene.database, scene.kind()).await?;
    check(&since_first(&rows, &records)?, &records, 4).expect_perfect()
}

/// Of each key what was committed from its first record on: what went before went with the topic.
fn since_first(rows: &[Row], records: &[Record]) -> Result<Vec<Row>> {
    let seqs: HashMap<&str, i64> = rows.iter().map(|row| (row.id.as_str(), row.seq)).collect();
    let mut first: HashMap<Vec<u8>, i64> = HashMap::new();
    for record in records {
        let seq = record.header("id").and_then(|id| seqs.get(id)).context("a phantom")?;
        let key = record.key.clone().context("no key")?;
        let known = first.entry(key).or_insert(*seq);
        *known = (*known).min(*seq);
    }
    ensure!(first.len() as u64 == KEYS, "{} of {KEYS} keys were seen again", first.len());
    let is_since = |row: &Row| row.key.as_ref().and_then(|key| first.get(key)) <= Some(&row.seq);
    Ok(rows.iter().filter(|row| is_since(row)).cloned().collect())
}

/// Where its transaction was committed.
fn commit_of(record: &Record) -> Result<Lsn> {
    let sequence = record.header("sequence").context("no sequence")?;
    let commit = sequence.split('-').nth(1).context("no commit in the sequence")?;
    Ok(Lsn::new(u64::from_str_radix(commit, 16)?))
}

async fn raise_partitions(scene: &Scene, topic: &Topic) -> Result<Topic> {
    let admin: AdminClient<DefaultClientContext> = scene.cluster.config().create()?;
    let more = NewPartitions::new(topic.name(), 8);
    for changed in admin.create_partitions([&more], &AdminOptions::new()).await? {
        changed.map_err(|(name, code)| anyhow!("more partitions for {name}: {code}"))?;
    }
    let grown = scene.cluster.topic(topic.name(), 8);
    eventually("eight partitions", || async { Ok(grown.end_offsets().await.ok()) }).await?;
    Ok(grown)
}

fn load(scene: &Scene) -> Workload {
    let kind = scene.kind();
    Workload { payload_max: 200, writers: 2, keys: KEYS, ..Workload::endless(kind) }
}

/// Of one key that had no event before.
fn late(kind: &str) -> String {
    format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select '{kind}', 'late', 'T', jsonb_build_object('n', n) from generate_series(1, {LATE}) n"
    )
}

const KEYS: u64 = 8;
const LATE: i64 = 20;
const LATE_LETTERS: &str = "
    select (convert_from(value, 'UTF8')::jsonb->>'n')::bigint from outbox.dead_letters
     where convert_from(key, 'UTF8') = 'late' order by position";
