//! Every version of Postgres, and other kinds of tables.

use anyhow::{Result, ensure};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};
use outboxd_tests::database::Database;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;

use super::gap::{Gap, command, is_replay};

#[tokio::test(flavor = "multi_thread")]
async fn postgres_14() -> Result<()> {
    on(PgVersion::V14).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_15() -> Result<()> {
    on(PgVersion::V15).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_16() -> Result<()> {
    on(PgVersion::V16).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18() -> Result<()> {
    on(PgVersion::V18).await
}

async fn on(version: PgVersion) -> Result<()> {
    let gap = Gap::on(version).await?;
    gap.drop_slot().await?;
    gap.insert(21, 40).await?;
    gap.expect_stop("slot_missing").await?;
    gap.repair(&["--yes"]).await?.expect(0)?;
    gap.expect_stream().await?;
    if version >= PgVersion::V17 {
        let status = gap.status().await?.expect(0)?;
        ensure!(status["details"]["failover"] == true, "{status}");
    }
    gap.conclude(30).await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_exactly_once_mode() -> Result<()> {
    let exactly_once = |command: RelayCommand| command.set("delivery.mode", "exactly_once");
    let scene = Scene::new().await?;
    let topic = scene.topic(2).await?;
    let insert = |seq: i64| {
        let insert = "insert into outbox.events (aggregatetype, aggregateid, type, payload)";
        format!(
            "{insert} values ('{}', 'key', 'T', jsonb_build_object('seq', {seq}))",
            scene.kind()
        )
    };
    let mut relay = exactly_once(scene.relay()).start().await?;
    scene.database.execute(&insert(1)).await?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(relay.terminate().await?.success());
    scene.database.wait_slot_inactive().await?;
    let drop_slot = format!("select pg_drop_replication_slot('{}')", scene.database.slot());
    scene.database.execute(&drop_slot).await?;
    scene.database.execute(&insert(2)).await?;
    exactly_once(scene.relay()).spawn()?.wait_stop(10, "slot_missing").await?;
    let repair = exactly_once(command(&scene, &["repair", "--yes"])).output().await?;
    ensure!(repair.status.success(), "{}", String::from_utf8_lossy(&repair.stderr));
    let mut relay = exactly_once(scene.relay()).start().await?;
    scene.database.execute(&insert(3)).await?;
    scene.database.wait_confirmed(scene.database.wal_position().await?).await?;
    ensure!(relay.terminate().await?.success());
    let marks: Vec<bool> = topic.read_committed().await?.iter().map(is_replay).collect();
    ensure!(marks == [false, true, true, false], "{marks:?}");
    Ok(())
}

/// A relay that publishes some of the rows only does not publish the others in a repair.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_publication_filters_out_stay_out() -> Result<()> {
    let gap = Gap::open().await?;
    gap.drop_slot().await?;
    let sql = "alter publication outboxd set table outbox.events where (aggregateid <> 'key-0')";
    gap.scene.database.execute(sql).await?;
    gap.insert(21, 40).await?;
    let planned = gap.repair(&["--dry-run"]).await?.expect(0)?;
    // Of 11 to 40, every third is of that key.
    ensure!(planned["gap"]["rows"]["rows"] == 20, "{planned}");
    Ok(())
}

/// A copy of production with the same names, while production is at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_does_not_take_production_over() -> Result<()> {
    let gap = Gap::open().await?;
    let before = gap.state().await?;
    // A server with arguments of its own is no copy of the sandbox's template.
    let initdb_args = vec!["--no-instructions".to_owned()];
    let options = PgOptions { initdb_args, ..PgOptions::of(PgVersion::V17) };
    let twin = Postgres::start(options).await?;
    let database = Database::create(&twin, gap.scene.database.name()).await?;
    database.create_outbox().await?;
    let at = ["--database-url", database.url(), "--kafka", gap.scene.cluster.bootstrap()];
    let args: Vec<&str> = ["slot", "repair", "--yes"].iter().chain(&at).copied().collect();
    let mut repair = RelayCommand::bare(&args).spawn()?;
    repair.wait_stop(10, "other_system").await?;
    ensure!(gap.state().await? == before, "the clone has changed something");
    gap.expect_stream().await
}

/// Made of partitions, of other types, with further columns, and without `created_at`.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_table_of_ones_own_become_the_records_they_were() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(2).await?;
    scene.database.execute(OWN_TABLE).await?;
    scene.database.publish("outbox.events").await?;
    let own = |command: RelayCommand| command.file(OWN_COLUMNS);
    let mut relay = own(scene.relay())?.start().await?;
    let insert = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload, leaf, price, at)
         select '{}', i, 'T', decode(md5(i::text), 'hex'), i % 2, i / 7.0,
                case when i % 3 = 0 then null else timestamp '2026-01-01' + i * interval '1 h' end
           from generate_series(1, 12) i",
        scene.kind()
    );
    scene.database.execute(&insert).await?;
    topic.read_at_least(12).await?;
    ensure!(relay.terminate().await?.success());
    scene.database.wait_slot_inactive().await?;
    let drop_slot = format!("select pg_drop_replication_slot('{}')", scene.database.slot());
    scene.database.execute(&drop_slot).await?;

    let since = own(command(&scene, &["repair", "--yes", "--since", "1h"]))?.output().await?;
    let complaint = String::from_utf8_lossy(&since.stderr);
    ensure!(since.status.code() == Some(78) && complaint.contains("--since"), "{complaint}");
    ensure!(own(command(&scene, &["repair", "--yes"]))?.spawn()?.wait().await?.success());
    let records = topic.read_at_least(24).await?;
    let (again, first): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|it| is_replay(it));
    ensure!(again.len() == 12 && first.len() == 12, "{} and {}", again.len(), first.len());
    for replay in again {
        let same = |it: &&&Record| it.header("id") == replay.header("id");
        let streamed = first.iter().find(same);
        ensure!(streamed.is_some_and(|it| stripped(it) == stripped(replay)), "{replay:?}");
    }
    own(scene.relay())?.start().await?.terminate().await.map(drop)
}

/// What a record from the table shares with that of the stream.
fn stripped(record: &Record) -> Record {
    let mut shared = Record { offset: 0, timestamp_ms: None, ..record.clone() };
    shared.headers.retain(|(name, _)| name != "sequence" && name != "outboxd-replay");
    shared
}

const OWN_TABLE: &str = "
    create schema outbox;
    create table outbox.events (id uuid default gen_random_uuid(), aggregatetype varchar(40),
        aggregateid bigint, type text, payload bytea, leaf int, price double precision,
        at timestamp, loud text generated always as (upper(type)) stored)
        partition by list (leaf);
    create table outbox.events_0 partition of outbox.events for values in (0);
    create table outbox.events_1 partition of outbox.events for values in (1)";
const OWN_COLUMNS: &str = "
    [columns]
    extra = [{ column = 'price', as = 'price' }, { column = 'at', as = 'at' }]";
