//! The leaves: what is truncated and when, and that nobody who writes waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use outboxd_relay::migrate::Variant;
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};
use outboxd_tests::database::{Database, connect};
use outboxd_tests::patience::eventually;
use outboxd_tests::servers;

use crate::{VERSIONS, database, text, up, wish};

const LEAVES: usize = 8;
const INSERT: &str = "insert into outbox.events (aggregatetype, aggregateid, type, payload)
                      values ('a', 'k', 't', '1')";

/// 24 hours of a rotation every hour, under load: no insert fails, nobody waits for a lock longer
/// than 100 ms, every leaf is truncated, and what was written is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_rotation_holds_nobody_up() -> Result<()> {
    let server = speaking_server().await?;
    let database = Database::create(&server, "shop").await?;
    up(&database, &wish(Variant::Rotating)).await?;
    slot(&database).await?;
    let load = Load::start(database.url()).await?;
    let truncated = AtomicUsize::new(0);
    for turn in 1..=24 {
        load.wait_for_rows(100).await?;
        let opened = eventually("the next leaf opened", || async {
            confirm(&database).await?;
            let said = rotate(&database, "").await?;
            let emptied = said.iter().filter(|(action, ..)| action == "truncated").count();
            truncated.fetch_add(emptied, Ordering::Relaxed);
            Ok(said.into_iter().find(|(action, ..)| action == "opened"))
        })
        .await?;
        ensure!(opened.1 == format!("outbox.events_{}", turn % LEAVES + 1), "{opened:?}");
    }
    let rows = load.stop().await?;
    let truncated = truncated.into_inner();
    ensure!(truncated >= 24 - LEAVES, "only {truncated} leaves were truncated");
    let kept: i64 = text(&database, "select count(*)::text from outbox.events").await?.parse()?;
    ensure!(usize::try_from(kept)? < rows, "{kept} of {rows} rows are kept");
    let waits = lock_waits(&server).await?;
    ensure!(waits.is_empty(), "{waits:#?}");
    // The server does speak of waits.
    let holder = database.connect().await?;
    holder.batch_execute("begin; lock table outbox.rotation in access exclusive mode").await?;
    let waiter = "set lock_timeout = '2s'; select from outbox.rotation";
    database.client().batch_execute(waiter).await.err().context("it waited for nothing")?;
    ensure!(!lock_waits(&server).await?.is_empty(), "a wait was not seen");
    Ok(())
}

#[tokio::test]
async fn rows_that_no_slot_has_confirmed_are_kept_unless_forced() -> Result<()> {
    for version in VERSIONS {
        let database = database(version).await?;
        up(&database, &wish(Variant::Rotating)).await?;
        fill(&database).await?;
        ensure!(rotate(&database, "").await? == [kept("no slot has read it")], "{version}");
        slot(&database).await?;
        database.execute(INSERT).await?;
        // The slot is younger than the rows, but another one is behind.
        let behind = format!("{}_2", database.slot());
        let create = format!("select pg_create_logical_replication_slot('{behind}', 'pgoutput')");
        database.query(&create).await?;
        database
            .execute("update outbox.rotation set sealed_at = pg_current_wal_insert_lsn() + 1")
            .await?;
        let said = rotate(&database, "").await?;
        ensure!(said.len() == 1 && said[0].0 == "kept", "{version}: {said:?}");
        ensure!(said[0].2.contains(&database.slot()) && said[0].2.contains(&behind), "{said:?}");
        ensure!(rows(&database, 1).await? == 1);
        let forced = [("truncated".to_owned(), "outbox.events_1".to_owned(), "forced".to_owned())];
        ensure!(rotate(&database, "force => true").await? == forced, "{version}");
        ensure!(rows(&database, 1).await? == 0 && rows(&database, 2).await? == 1);
        // Confirmed rows need no force.
        database.execute("select pg_current_wal_insert_lsn(); create table public.more ()").await?;
        confirm(&database).await?;
        database.query(&format!("select pg_drop_replication_slot('{behind}')")).await?;
        let said = eventually("the second leaf truncated", || async {
            confirm(&database).await?;
            let said = rotate(&database, "").await?;
            Ok(said.iter().any(|(action, ..)| action == "truncated").then_some(said))
        })
        .await?;
        ensure!(said.iter().all(|(_, _, reason)| reason != "forced"), "{said:?}");
        ensure!(rows(&database, 2).await? == 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_leaf_somebody_writes_to_is_left_alone_and_inserts_go_on() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    up(&database, &wish(Variant::Rotating)).await?;
    slot(&database).await?;
    let writer = database.connect().await?;
    writer.batch_execute(&format!("begin; {INSERT}")).await?;
    fill(&database).await?;
    confirm(&database).await?;
    let said = rotate(&database, "").await?;
    ensure!(
        said == [kept("it was closed a moment ago, or somebody still writes to it")],
        "{said:?}"
    );
    let said = rotate(&database, "force => true").await?;
    ensure!(said[0].0 == "busy", "{said:?}");
    database.execute(INSERT).await?;
    writer.batch_execute("commit").await?;
    ensure!(rotate(&database, "").await?[0].0 == "kept");
    confirm(&database).await?;
    ensure!(rotate(&database, "").await?[0].0 == "truncated");
    Ok(())
}

/// A transaction that sees the past writes to the leaf that is open now.
#[tokio::test]
async fn an_old_snapshot_does_not_write_to_an_old_leaf() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    up(&database, &wish(Variant::Rotating)).await?;
    let old = database.connect().await?;
    old.batch_execute("begin isolation level repeatable read; select 1 from outbox.events").await?;
    rotate(&database, "").await?;
    let row = old.query_one(&format!("{INSERT} returning leaf"), &[]).await?;
    ensure!(row.get::<_, i16>(0) == 2);
    Ok(())
}

#[tokio::test]
async fn it_may_be_called_often_and_by_several() -> Result<()> {
    let database = database(PgVersion::V17).await?;
    up(&database, &wish(Variant::Rotating)).await?;
    ensure!(rotate(&database, "every => '1 hour'").await?[0].0 == "waited");
    database
        .execute("update outbox.rotation set opened_at = opened_at - interval '1 hour'")
        .await?;
    ensure!(rotate(&database, "every => '1 hour'").await?[0].0 == "opened");
    ensure!(rotate(&database, "every => '1 hour'").await?[0].0 == "waited");
    let other = database.connect().await?;
    other.batch_execute("begin; select outbox.rotate()").await?;
    ensure!(rotate(&database, "").await?[0].0 == "busy");
    // A leaf that was opened stays open, whatever becomes of that transaction.
    other.batch_execute("rollback").await?;
    database.execute(INSERT).await?;
    ensure!(rows(&database, 3).await? == 1);
    ensure!(rotate(&database, "").await?[0].1 == "outbox.events_4");
    // Rows do not go to a leaf that is locked until a transaction ends.
    fill(&database).await?;
    let said = database.query("select action from outbox.rotate(force => true)").await?;
    ensure!(!said.is_empty());
    other
        .batch_execute(
            "begin; select outbox.rotate(force => true); select outbox.rotate(force => true)",
        )
        .await?;
    database.execute("set lock_timeout = '1s'").await?;
    database.execute(INSERT).await?;
    other.batch_execute("commit").await?;
    Ok(())
}

type Said = (String, String, String);

async fn rotate(database: &Database, arguments: &str) -> Result<Vec<Said>> {
    let sql = format!("select action, leaf, reason from outbox.rotate({arguments})");
    let rows = database.query(&sql).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

fn kept(reason: &str) -> Said {
    ("kept".to_owned(), "outbox.events_1".to_owned(), reason.to_owned())
}

/// A row in each leaf but the one that is open; the next in turn is the first.
async fn fill(database: &Database) -> Result<()> {
    for _ in 1..LEAVES {
        database.execute(INSERT).await?;
        rotate(database, "").await?;
    }
    Ok(())
}

async fn rows(database: &Database, leaf: usize) -> Result<i64> {
    let sql = format!("select count(*)::text from outbox.events_{leaf}");
    Ok(text(database, &sql).await?.parse()?)
}

async fn slot(database: &Database) -> Result<()> {
    let slot = database.slot();
    let sql = format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    database.query(&sql).await.map(drop)
}

/// As a relay would that is up to date.
async fn confirm(database: &Database) -> Result<()> {
    let slot = database.slot();
    let sql = format!("select pg_replication_slot_advance('{slot}', pg_current_wal_insert_lsn())");
    database.query(&sql).await.map(drop)
}

/// One that writes a line to its log when a lock is waited for longer than 100 ms.
async fn speaking_server() -> Result<Postgres> {
    let options = servers::options(PgVersion::V17);
    let more = [("log_lock_waits", "on"), ("deadlock_timeout", "100ms")];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = options.settings.into_iter().chain(more).collect();
    Ok(Postgres::start(PgOptions { settings, ..PgOptions::of(PgVersion::V17) }).await?)
}

async fn lock_waits(server: &Postgres) -> Result<Vec<String>> {
    let log = server.log().await?;
    Ok(log.lines().filter(|line| line.contains("still waiting for")).map(str::to_owned).collect())
}

/// Writers of several kinds that go on until they are told to stop.
struct Load {
    rows: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    writers: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Load {
    async fn start(url: &str) -> Result<Self> {
        let (rows, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut writers = Vec::new();
        for (count, sql) in WRITERS {
            let client = connect(url).await?;
            let (rows, over) = (Arc::clone(&rows), Arc::clone(&over));
            writers.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    client.batch_execute(sql).await.with_context(|| format!("a writer: {sql}"))?;
                    rows.fetch_add(count, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
        Ok(Self { rows, over, writers })
    }

    /// So many more than now.
    async fn wait_for_rows(&self, more: usize) -> Result<()> {
        let wanted = self.rows.load(Ordering::Relaxed) + more;
        eventually("more rows", || async {
            if self.writers.iter().any(tokio::task::JoinHandle::is_finished) {
                bail!("a writer has failed");
            }
            Ok((self.rows.load(Ordering::Relaxed) >= wanted).then_some(()))
        })
        .await
    }

    async fn stop(self) -> Result<usize> {
        self.over.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await??;
        }
        Ok(self.rows.load(Ordering::Relaxed))
    }
}

/// Rows of one pass, and how they are written.
const WRITERS: [(usize, &str); 4] = [
    (1, INSERT),
    (
        20,
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select 'a', i::text, 't', to_jsonb(repeat('x', 3000)) from generate_series(1, 20) as i",
    ),
    (
        2,
        "begin isolation level repeatable read; select 1;
         select outbox.emit('a', 'k', 't', '1'); select outbox.emit('a', 'k', 't', '2'); commit",
    ),
    (
        1,
        "begin; savepoint s; insert into outbox.events (aggregatetype, type) values ('a', 't');
         rollback to s; insert into outbox.events (aggregatetype, type) values ('a', 't'); commit",
    ),
];
