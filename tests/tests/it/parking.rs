//! Events that Kafka does not take are parked with what follows of their key, and published again
//! when an operator says so.

use anyhow::{Context, Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::{Record, Topic};
use tokio_postgres::Row;

#[tokio::test]
async fn one_event_too_large_is_parked_with_its_followers_and_retried_in_order() -> Result<()> {
    too_large(AT_LEAST_ONCE).await
}

#[tokio::test]
async fn one_event_too_large_is_parked_exactly_once() -> Result<()> {
    too_large(EXACTLY_ONCE).await
}

async fn too_large(mode: &str) -> Result<()> {
    let scene = Scene::new().await?;
    let limit = [("max.message.bytes", "100000")];
    let topic = scene.cluster.create_topic(&scene.topic_name(), 4, &limit).await?;
    let mut relay = relay_in(&scene, mode).start().await?;
    small(&scene, 1, 2_000).await?;
    large(&scene, "order-7").await?;
    small(&scene, 2_001, 4_000).await?;
    let followers = 2_000 / KEYS;
    topic.read_committed_at_least(4_000 - followers).await?;
    wait_letters(&scene, &[("dead", 1), ("parked", followers)]).await?;
    // What is recorded is not repeated.
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    relay.kill().await?;

    // The key stays parked over a restart; what it has to wait for is one row.
    let mut relay = relay_in(&scene, mode).start().await?;
    small(&scene, 4_001, 4_000 + KEYS).await?;
    wait_letters(&scene, &[("dead", 1), ("parked", followers + 1)]).await?;
    let rows = scene.database.query(HEADS).await?;
    ensure!(rows.len() == 1 && rows[0].get::<_, i64>("followers") == count(followers + 1)?);
    let head: i64 = rows[0].get("id");

    // Too early: Kafka refuses it again.
    ask(&scene, &["retry", &head.to_string()]).await?;
    eventually("a second refusal", || async {
        let rows = scene.database.query(ATTEMPTED).await?;
        Ok((!rows.is_empty()).then_some(()))
    })
    .await?;
    scene.cluster.alter_topic(topic.name(), &[("max.message.bytes", "1000000")]).await?;
    ask(&scene, &["retry", &head.to_string(), "--note", "limit raised"]).await?;
    wait_letters(&scene, &[("published", followers + 2)]).await?;

    // Its key is free again.
    small(&scene, 5_001, 5_000 + KEYS).await?;
    let all = 4_000 + 1 + 2 * KEYS;
    expect_each_once(&topic, all).await?;
    let records = topic.read_committed().await?;
    let of_key: Vec<&Record> = records.iter().filter(|it| it.key_text() == "order-7").collect();
    expect_rising(&of_key)?;
    let replayed = of_key.iter().filter(|it| it.header("outboxd-replay") == Some("true")).count();
    ensure!(replayed == followers + 2, "{replayed} records are marked as published again");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// The relay knows the limit from before, so the broker refuses a whole batch.
#[tokio::test]
async fn a_limit_lowered_behind_the_relays_back_parks_one_event() -> Result<()> {
    limit_lowered(AT_LEAST_ONCE).await
}

#[tokio::test]
async fn a_limit_lowered_parks_one_event_exactly_once() -> Result<()> {
    limit_lowered(EXACTLY_ONCE).await
}

async fn limit_lowered(mode: &str) -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = relay_in(&scene, mode).expect_error("producer.failed").start().await?;
    small(&scene, 1, 100).await?;
    topic.read_committed_at_least(100).await?;
    scene.cluster.alter_topic(topic.name(), &[("max.message.bytes", "100000")]).await?;
    small(&scene, 101, 600).await?;
    large(&scene, "order-x").await?;
    small(&scene, 601, 1_100).await?;
    wait_letters(&scene, &[("dead", 1)]).await?;
    expect_each_once(&topic, 1_100).await?;
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// Nothing that is looked up tells of this limit: the candidates of the batch are tried one by one.
#[tokio::test]
async fn of_a_refused_batch_only_the_event_at_fault_is_parked() -> Result<()> {
    refused_batch(AT_LEAST_ONCE).await
}

#[tokio::test]
async fn of_a_refused_batch_one_is_parked_exactly_once() -> Result<()> {
    refused_batch(EXACTLY_ONCE).await
}

async fn refused_batch(mode: &str) -> Result<()> {
    let scene = Scene::new().await?;
    let config = [("message.timestamp.before.max.ms", "3600000")];
    let topic = scene.cluster.create_topic(&scene.topic_name(), 1, &config).await?;
    let mut relay = relay_in(&scene, mode).expect_error("producer.failed").start().await?;
    small(&scene, 1, 100).await?;
    topic.read_committed_at_least(100).await?;
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload, created_at)
         select '{}', 'order-' || i % {KEYS}, 'T', jsonb_build_object('seq', i),
                case when i = 300 then now() - interval '2 days' else now() end
           from generate_series(101, 600) i",
        scene.kind()
    );
    scene.database.execute(&sql).await?;
    let followers = 600 / KEYS - 300 / KEYS;
    wait_letters(&scene, &[("dead", 1), ("parked", followers)]).await?;
    expect_each_once(&topic, 600 - 1 - followers).await?;
    ask(&scene, &["discard", "--yes", "--key", "order-0", "--topic", topic.name()]).await?;
    wait_letters(&scene, &[("discarded", 1 + followers)]).await?;
    small(&scene, 601, 600 + KEYS).await?;
    expect_each_once(&topic, 600 - 1 - followers + KEYS).await?;
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn what_waits_behind_a_discarded_event_is_published() -> Result<()> {
    let scene = Scene::new().await?;
    let limit = [("max.message.bytes", "100000")];
    let topic = scene.cluster.create_topic(&scene.topic_name(), 2, &limit).await?;
    let relay = scene.relay().start().await?;
    large(&scene, "order-1").await?;
    small(&scene, 1, 20).await?;
    wait_letters(&scene, &[("dead", 1), ("parked", 2)]).await?;
    let head: i64 = scene.database.query(HEADS).await?[0].get("id");
    let refused = command(&scene, &["retry", &(head + 1).to_string()]).expect_error("internal");
    let refused = refused.spawn()?.wait().await?;
    ensure!(!refused.success(), "a row that waits behind another was taken");
    ask(&scene, &["discard", "--yes", &head.to_string()]).await?;
    wait_letters(&scene, &[("discarded", 1), ("published", 2)]).await?;
    expect_each_once(&topic, 20).await?;
    drop(relay);
    Ok(())
}

#[tokio::test]
async fn skip_leaves_a_row_and_goes_on() -> Result<()> {
    let scene = Scene::new().await?;
    let limit = [("max.message.bytes", "100000")];
    let topic = scene.cluster.create_topic(&scene.topic_name(), 2, &limit).await?;
    let mut relay = scene.relay().set("errors.on_record_error", "skip").start().await?;
    large(&scene, "order-1").await?;
    small(&scene, 1, 20).await?;
    expect_each_once(&topic, 20).await?;
    wait_letters(&scene, &[("discarded", 1)]).await?;
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn one_more_than_the_limit_stops_with_nothing_lost() -> Result<()> {
    let scene = Scene::new().await?;
    let limit = [("max.message.bytes", "100000")];
    scene.cluster.create_topic(&scene.topic_name(), 2, &limit).await?;
    let mut relay = scene.relay().set("errors.max_parked", "2").start().await?;
    large(&scene, "order-1").await?;
    small(&scene, 1, 30).await?;
    relay.wait_stop(12, "too_many_parked").await?;
    wait_letters(&scene, &[("dead", 1), ("parked", 1)]).await
}

fn relay_in(scene: &Scene, mode: &str) -> RelayCommand {
    scene.relay().set("delivery.mode", mode)
}

/// As the header `seq` of the payload, with keys order-0 … order-9 in turn.
pub(crate) async fn small(scene: &Scene, from: usize, to: usize) -> Result<()> {
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select '{}', 'order-' || i % {KEYS}, 'T', jsonb_build_object('seq', i)
           from generate_series({from}, {to}) i",
        scene.kind()
    );
    scene.database.execute(&sql).await
}

/// Twice as large as the topics of these tests allow, and not to be compressed.
pub(crate) async fn large(scene: &Scene, key: &str) -> Result<()> {
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         values ('{}', '{key}', 'Large', jsonb_build_object('pad',
                 (select string_agg(md5(i::text), '') from generate_series(1, 6250) i)))",
        scene.kind()
    );
    scene.database.execute(&sql).await
}

async fn ask(scene: &Scene, args: &[&str]) -> Result<()> {
    let status = command(scene, args).spawn()?.wait().await?;
    ensure!(status.success(), "dlq {args:?} ended with {status}");
    Ok(())
}

fn command(scene: &Scene, args: &[&str]) -> RelayCommand {
    let at = ["--database-url", scene.database.url(), "--kafka", scene.cluster.bootstrap()];
    let args: Vec<&str> = ["dlq"].iter().chain(args).chain(&at).copied().collect();
    RelayCommand::bare(&args)
}

/// Waits until the table holds so many rows in each of these states, and none in another.
pub(crate) async fn wait_letters(scene: &Scene, expected: &[(&str, usize)]) -> Result<()> {
    let mut wanted: Vec<(String, i64)> = Vec::new();
    for (state, rows) in expected {
        wanted.push(((*state).to_owned(), count(*rows)?));
    }
    wanted.sort();
    let found = || async {
        let rows = scene.database.query(STATES).await?;
        let state = |row: &Row| (row.get("state"), row.get("rows"));
        anyhow::Ok(rows.iter().map(state).collect::<Vec<(String, i64)>>())
    };
    let waited =
        eventually("dead letters", || async { Ok((found().await? == wanted).then_some(())) }).await;
    let found = found().await?;
    waited.with_context(|| format!("expected {expected:?}, found {found:?}"))
}

pub(crate) async fn expect_each_once(topic: &Topic, events: usize) -> Result<()> {
    let records = topic.read_committed_at_least(events).await?;
    let mut ids: Vec<&str> = records.iter().filter_map(|it| it.header("id")).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == events && records.len() == events, "{} records", records.len());
    Ok(())
}

fn expect_rising(records: &[&Record]) -> Result<()> {
    let sequences: Vec<_> = records.iter().filter_map(|it| it.header("sequence")).collect();
    ensure!(sequences.len() == records.len(), "every record has a sequence");
    ensure!(sequences.is_sorted(), "out of order: {sequences:?}");
    Ok(())
}

fn count(rows: usize) -> Result<i64> {
    Ok(i64::try_from(rows)?)
}

const AT_LEAST_ONCE: &str = "at_least_once";
const EXACTLY_ONCE: &str = "exactly_once";
const KEYS: usize = 10;
const STATES: &str =
    "select state, count(*) as rows from outbox.dead_letters group by state order by state";
const HEADS: &str = "
    select head.id, (select count(*) from outbox.dead_letters it where it.parked_behind = head.id)
               as followers
      from outbox.dead_letters head where state = 'dead'";
const ATTEMPTED: &str = "select from outbox.dead_letters where state = 'dead' and attempts = 1";
