//! A physical standby takes the primary's place: with the slot, without it, and without some of what
//! was published.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres, StopMode};
use outboxd_tests::database::Database;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::{RelayCommand, relay_on};
use outboxd_tests::scene::unique;
use outboxd_tests::servers;
use outboxd_tests::topic::{Cluster, Topic};
use outboxd_tests::truth;
use serde_json::Value;
use tokio::process::Command;

/// Everything that was published is there too: only the slot is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_the_slot() -> Result<()> {
    let mut pair = Pair::start(PgVersion::V15, &[]).await?;
    let mut relay = pair.relay().start().await?;
    pair.insert(1, 20).await?;
    pair.topic.read_at_least(20).await?;
    ensure!(relay.terminate().await?.success());
    pair.caught_up().await?;
    pair.primary.kill().await?;
    pair.promote().await?;
    pair.insert(21, 40).await?;

    pair.relay().spawn()?.wait_stop(10, "slot_missing").await?;
    let repaired = pair.repair("--yes").await?;
    ensure!(repaired["gap"]["phantoms"].is_null() && repaired["gap"]["epoch"] == 2, "{repaired}");
    pair.conclude("0002").await?;

    // The former primary comes back: neither a relay nor a repair takes it for ours.
    pair.primary.start_again().await?;
    pair.database = Database::open(&pair.primary, &pair.kind).await?;
    pair.relay().spawn()?.wait_stop(10, "diverged").await?;
    let mut repair = pair.command("--yes").spawn()?;
    repair.wait_stop(10, "diverged").await?;
    Ok(())
}

/// Transactions that were published did not reach the standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_what_was_published_last() -> Result<()> {
    let mut pair = Pair::start(PgVersion::V17, &[]).await?;
    let mut relay = pair.relay().start().await?;
    pair.insert(1, 20).await?;
    pair.topic.read_at_least(20).await?;
    pair.caught_up().await?;
    pair.standby.stop(StopMode::Fast).await?;
    pair.insert(901, 903).await?;
    pair.topic.read_at_least(23).await?;
    ensure!(relay.terminate().await?.success());
    let rows = truth::read(&pair.database, &pair.kind).await?;
    let phantoms: BTreeSet<String> =
        rows.into_iter().filter(|row| row.seq > 900).map(|row| row.id).collect();
    pair.primary.kill().await?;
    pair.standby.start_again().await?;
    pair.promote().await?;
    pair.insert(21, 40).await?;

    pair.relay().spawn()?.wait_stop(10, "diverged").await?;
    for order in ["--dry-run", "--yes"] {
        let report = pair.repair(order).await?;
        let gap = &report["gap"];
        let found = gap["phantoms"]["events"].as_array().context("a list of phantoms")?;
        let found = found.iter().filter_map(|it| it["event_id"].as_str().map(str::to_owned));
        ensure!(found.collect::<BTreeSet<_>>() == phantoms, "{report}");
        ensure!(gap["code"] == "diverged" && gap["rows"]["rows"] == 40, "{report}");
    }
    pair.conclude("0002").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_with_a_synchronised_slot() -> Result<()> {
    for version in [PgVersion::V17, PgVersion::V18] {
        synchronised(version).await?;
    }
    Ok(())
}

async fn synchronised(version: PgVersion) -> Result<()> {
    let settings = [
        ("sync_replication_slots", "on"),
        ("hot_standby_feedback", "on"),
        ("primary_slot_name", FOLLOWER),
    ];
    let mut pair = Pair::start(version, &settings).await?;
    let mut relay = pair.relay().start().await?;
    pair.insert(1, 20).await?;
    pair.topic.read_at_least(20).await?;
    let standby = Database::open(&pair.standby, "postgres").await?;
    let synced = format!(
        "select synced and not temporary from pg_replication_slots where slot_name = '{}'",
        pair.database.slot()
    );
    eventually("the slot on the standby", || async {
        // What lets the standby's copy begin where the primary's stands.
        pair.database.execute("select pg_log_standby_snapshot()").await?;
        let rows = standby.query(&synced).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)).then_some(()))
    })
    .await?;
    ensure!(relay.terminate().await?.success());
    pair.caught_up().await?;
    pair.primary.kill().await?;
    pair.promote().await?;
    pair.insert(21, 40).await?;

    let mut relay = pair.relay().start().await?;
    let records = pair.topic.read_at_least(40).await?;
    let ids: BTreeSet<_> = records.iter().filter_map(|it| it.header("id")).collect();
    ensure!(records.len() == 40 && ids.len() == 40, "{} of {}", ids.len(), records.len());
    let epochs: BTreeSet<_> =
        records.iter().filter_map(|it| it.header("sequence")?.get(..4)).collect();
    ensure!(epochs == BTreeSet::from(["0001", "0002"]), "{epochs:?}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// A primary and what follows it.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    /// On whichever is the primary.
    database: Database,
    cluster: Cluster,
    topic: Topic,
    kind: String,
}

impl Pair {
    /// `settings`: of the standby.
    async fn start(version: PgVersion, settings: &[(&str, &str)]) -> Result<Self> {
        let primary = Postgres::start(PgOptions::of(version));
        let standby = Postgres::start(PgOptions::of(version));
        let (mut primary, mut standby) = tokio::try_join!(primary, standby)?;
        let kind = unique("p");
        Database::create(&primary, &kind).await?.create_outbox().await?;
        primary.stop(StopMode::Fast).await?;
        standby.stop(StopMode::Fast).await?;
        follow(&primary, &standby, settings).await?;
        primary.start_again().await?;
        let database = Database::open(&primary, &kind).await?;
        database
            .execute(&format!("select pg_create_physical_replication_slot('{FOLLOWER}')"))
            .await?;
        standby.start_again().await?;
        let cluster = Cluster::new(&servers::kafka().await?.bootstrap());
        let topic = cluster.create_topic(&format!("outbox.event.{kind}"), 2, &[]).await?;
        Ok(Self { primary, standby, database, cluster, topic, kind })
    }

    fn relay(&self) -> RelayCommand {
        relay_on(&self.database, self.cluster.bootstrap())
    }

    fn command(&self, order: &str) -> RelayCommand {
        let at = ["--database-url", self.database.url(), "--kafka", self.cluster.bootstrap()];
        let args: Vec<&str> =
            ["slot", "repair", "--json", order].iter().chain(&at).copied().collect();
        RelayCommand::bare(&args)
    }

    async fn repair(&self, order: &str) -> Result<Value> {
        let output = self.command(order).output().await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{complaint}");
        serde_json::from_slice(&output.stdout).context("JSON")
    }

    async fn insert(&self, from: i64, to: i64) -> Result<()> {
        let sql = format!(
            "insert into outbox.events (aggregatetype, aggregateid, type, payload)
             select '{}', 'key-' || i % 3, 'T', jsonb_build_object('seq', i)
               from generate_series({from}, {to}) i",
            self.kind
        );
        self.database.execute(&sql).await
    }

    /// Waits until the standby has all of the primary's log.
    async fn caught_up(&self) -> Result<()> {
        let standby = Database::open(&self.standby, "postgres").await?;
        let end = self.database.wal_position().await?;
        let sql = format!("select pg_last_wal_replay_lsn() >= '{end}'::pg_lsn");
        eventually("the standby has caught up", || async {
            Ok(standby.query(&sql).await?[0].get::<_, Option<bool>>(0).filter(|done| *done))
        })
        .await
        .map(drop)
    }

    async fn promote(&mut self) -> Result<()> {
        let standby = Database::open(&self.standby, "postgres").await?;
        ensure!(standby.query("select pg_promote()").await?[0].get::<_, bool>(0), "not promoted");
        self.database = Database::open(&self.standby, &self.kind).await?;
        Ok(())
    }

    /// The relay streams, in this epoch, and every row of the table is in Kafka.
    async fn conclude(&self, epoch: &str) -> Result<()> {
        let mut relay = self.relay().start().await?;
        self.insert(1_001, 1_010).await?;
        self.database.wait_confirmed(self.database.wal_position().await?).await?;
        ensure!(relay.terminate().await?.success());
        let rows = truth::read(&self.database, &self.kind).await?;
        let records = self.topic.read_all().await?;
        for row in &rows {
            let of_row = || records.iter().filter(|it| it.header("id") == Some(&row.id));
            ensure!(of_row().next().is_some(), "{row:?} is not in Kafka");
            let sequences: Vec<_> = of_row().filter_map(|it| it.header("sequence")).collect();
            let is_fresh = row.seq > 1_000;
            ensure!(
                !is_fresh || matches!(&sequences[..], [one] if one.starts_with(epoch)),
                "{sequences:?}"
            );
        }
        Ok(())
    }
}

/// Makes a stopped server the standby of another stopped one, without its slots: as a base backup
/// would.
async fn follow(primary: &Postgres, standby: &Postgres, settings: &[(&str, &str)]) -> Result<()> {
    let [from, to] = [primary, standby].map(|server| server.data_dir().context("on this machine"));
    let (from, to) = (from?, to?);
    shell("rm", &["-rf".as_ref(), to]).await?;
    shell("cp", &["-a".as_ref(), from, to]).await?;
    shell("cp", &["-a".as_ref(), &from.join("PG_VERSION"), &to.join("standby.signal")]).await?;
    let conninfo =
        format!("host={} port={} user=postgres dbname=postgres", primary.host(), primary.port());
    let mut lines = format!("primary_conninfo = '{conninfo}'\n");
    for (name, value) in settings {
        lines.push_str(&format!("{name} = '{value}'\n"));
    }
    let file = to.join("postgresql.auto.conf");
    let former = tokio::fs::read_to_string(&file).await?;
    Ok(tokio::fs::write(&file, former + &lines).await?)
}

async fn shell(program: &str, args: &[&Path]) -> Result<()> {
    let status = Command::new(program).args(args).status().await?;
    ensure!(status.success(), "{program} {args:?} ended with {status}");
    Ok(())
}

const FOLLOWER: &str = "follower";
