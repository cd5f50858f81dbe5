//! A relay that has published something and has ended, before something happens to its slot.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::PgVersion;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::{Record, Topic};
use outboxd_tests::truth;
use serde_json::Value;

pub(super) struct Gap {
    pub(super) scene: Scene,
    pub(super) topic: Topic,
}

/// What a command said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// All that a plan must not change.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct State {
    slot: Vec<(String, Option<String>)>,
    progress: Vec<Record>,
    events: Vec<i64>,
    letters: i64,
}

impl Gap {
    pub(super) async fn open() -> Result<Self> {
        Self::on(PgVersion::V17).await
    }

    /// Rows 1 to 10 are of yesterday, 11 to 20 of now; all are published.
    pub(super) async fn on(version: PgVersion) -> Result<Self> {
        let scene = Scene::on(version).await?;
        let topic = scene.topic(4).await?;
        let gap = Self { scene, topic };
        let mut relay = gap.scene.relay().start().await?;
        gap.insert_at(1, 10, "now() - interval '1 day'").await?;
        gap.insert(11, 20).await?;
        gap.topic.read_at_least(20).await?;
        ensure!(relay.terminate().await?.success());
        gap.scene.database.wait_slot_inactive().await?;
        Ok(gap)
    }

    /// One transaction, over three keys.
    pub(super) async fn insert(&self, from: i64, to: i64) -> Result<()> {
        self.insert_at(from, to, "now()").await
    }

    async fn insert_at(&self, from: i64, to: i64, created_at: &str) -> Result<()> {
        let sql = format!(
            "insert into outbox.events (aggregatetype, aggregateid, type, payload, created_at)
             select '{}', 'key-' || i % 3, 'T', jsonb_build_object('seq', i), {created_at}
               from generate_series({from}, {to}) i",
            self.scene.kind()
        );
        self.scene.database.execute(&sql).await
    }

    pub(super) fn slot(&self) -> String {
        self.scene.database.slot()
    }

    pub(super) fn progress_topic(&self) -> String {
        format!("outboxd.progress.{}", self.slot())
    }

    pub(super) async fn drop_slot(&self) -> Result<()> {
        let sql = format!("select pg_drop_replication_slot('{}')", self.slot());
        self.scene.database.execute(&sql).await
    }

    pub(super) async fn create_slot(&self, plugin: &str) -> Result<()> {
        let create = "select pg_create_logical_replication_slot";
        self.scene.database.execute(&format!("{create}('{}', '{plugin}')", self.slot())).await
    }

    pub(super) async fn status(&self) -> Result<Said> {
        ask(&self.scene, &["status", "--json"]).await
    }

    pub(super) async fn repair(&self, args: &[&str]) -> Result<Said> {
        let args: Vec<&str> = ["repair", "--json"].iter().chain(args).copied().collect();
        ask(&self.scene, &args).await
    }

    /// The status says so, in both forms.
    pub(super) async fn expect_stop(&self, code: &str) -> Result<()> {
        let status = self.status().await?.expect(3)?;
        ensure!(status["verdict"]["code"] == code, "{status}");
        let text = ask(&self.scene, &["status"]).await?;
        let verdict = format!("run would stop: error[{code}]");
        ensure!(text.code == Some(3) && text.stdout.contains(&verdict), "{text:?}");
        Ok(())
    }

    pub(super) async fn expect_stream(&self) -> Result<()> {
        let status = self.status().await?.expect(0)?;
        ensure!(status["verdict"]["would"] == "stream", "{status}");
        let text = ask(&self.scene, &["status"]).await?;
        let verdict = format!(
            "run would stream from {}",
            status["verdict"]["from"].as_str().unwrap_or_default()
        );
        ensure!(text.code == Some(0) && text.stdout.contains(&verdict), "{text:?}");
        Ok(())
    }

    pub(super) async fn state(&self) -> Result<State> {
        let slots = "select slot_name::text, confirmed_flush_lsn::text from pg_replication_slots \
                     where database = current_database()";
        let rows = self.scene.database.query(slots).await?;
        let letters = "select count(*) from outbox.dead_letters";
        Ok(State {
            slot: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
            progress: self.scene.cluster.topic(&self.progress_topic(), 1).read_all().await?,
            events: self.topic.end_offsets().await?,
            letters: self.scene.database.query(letters).await?[0].get(0),
        })
    }

    /// The same after the thirty rows that need it were published so often.
    pub(super) async fn conclude_repeated(&self, times: usize) -> Result<()> {
        self.check(|records| {
            let marked = records.iter().filter(|it| is_replay(it)).count();
            ensure!(marked == 30 * times, "{marked} records are marked");
            Ok(())
        })
        .await
    }

    /// Lets a relay stream again: every committed row is in Kafka, so many of them from the table,
    /// and what comes now is of the stream, once.
    pub(super) async fn conclude(&self, replayed: usize) -> Result<()> {
        self.check(|records| expect_marks(records, replayed)).await
    }

    async fn check(&self, marks: impl FnOnce(&[Record]) -> Result<()>) -> Result<()> {
        let mut relay = self.scene.relay().start().await?;
        self.insert(1_001, 1_020).await?;
        let end = self.scene.database.wal_position().await?;
        self.scene.database.wait_confirmed(end).await?;
        ensure!(relay.terminate().await?.success());
        let records = self.topic.read_all().await?;
        let truth = truth::read(&self.scene.database, self.scene.kind()).await?;
        let published: BTreeSet<&str> = records.iter().filter_map(|it| it.header("id")).collect();
        let missing: Vec<_> = truth.iter().filter(|row| !published.contains(&*row.id)).collect();
        ensure!(missing.is_empty(), "not in Kafka: {missing:?}");
        marks(&records)?;
        let seq = |id: &str| truth.iter().find(|row| row.id == id).map(|row| row.seq);
        let fresh = records.iter().filter(|it| it.header("id").and_then(seq) > Some(1_000));
        let fresh: Vec<&Record> = fresh.collect();
        ensure!(fresh.len() == 20 && fresh.iter().all(|it| !is_replay(it)), "{}", fresh.len());
        Ok(())
    }
}

/// So many records are marked; those have no `sequence`, keep the order of their keys, and are
/// otherwise what the stream sends.
fn expect_marks(records: &[Record], replayed: usize) -> Result<()> {
    let (marked, streamed): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|it| is_replay(it));
    ensure!(marked.len() == replayed, "{} records are marked", marked.len());
    ensure!(marked.iter().all(|it| it.header("sequence").is_none()), "a replay has a place");
    ensure!(streamed.iter().all(|it| it.header("sequence").is_some()), "an event has none");
    let mut last = BTreeMap::new();
    for record in &marked {
        let seq: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
        let seq = seq["seq"].as_i64().context("a payload with its place")?;
        let former = last.insert(record.key_text(), seq);
        ensure!(former < Some(seq), "{former:?} before {seq} of {}", record.key_text());
    }
    for replay in &marked {
        let first = streamed.iter().find(|it| it.header("id") == replay.header("id"));
        let Some(first) = first else { continue };
        let parts = |it: &Record| (it.partition, it.key.clone(), it.value.clone(), it.timestamp_ms);
        ensure!(parts(first) == parts(replay), "{first:?} was published again as {replay:?}");
        ensure!(first.header("type") == replay.header("type"));
    }
    Ok(())
}

pub(super) fn is_replay(record: &Record) -> bool {
    record.header("outboxd-replay") == Some("true")
}

pub(super) fn command(scene: &Scene, args: &[&str]) -> RelayCommand {
    let at = ["--database-url", scene.database.url(), "--kafka", scene.cluster.bootstrap()];
    let args: Vec<&str> = ["slot"].iter().chain(args).chain(&at).copied().collect();
    RelayCommand::bare(&args)
}

pub(super) async fn ask(scene: &Scene, args: &[&str]) -> Result<Said> {
    let output = command(scene, args).output().await?;
    Ok(Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

impl Said {
    /// It ended so, and printed JSON.
    pub(super) fn expect(self, code: i32) -> Result<Value> {
        ensure!(self.code == Some(code), "ended with {self:?}");
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON in {self:?}"))
    }

    pub(super) fn reports(&self, code: &str) -> bool {
        self.stderr.contains(&format!("error[{code}]: "))
    }
}
