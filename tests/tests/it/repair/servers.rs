//! Gaps that take a server of one's own.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres, StopMode};
use outboxd_tests::database::Database;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::{RelayCommand, relay_on};
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Topic;
use outboxd_tests::truth;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_gave_up() -> Result<()> {
    let settings =
        [("max_slot_wal_keep_size", "16MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
    let own = Own::start(&settings).await?;
    own.publish(1, 10).await?;
    own.insert(11, 20).await?;
    eventually("the slot lost", || async {
        // A segment each time, whatever is in it.
        own.database.execute("select pg_logical_emit_message(false, 'fill', 'x')").await?;
        own.database.execute("select pg_switch_wal()").await?;
        own.database.execute("checkpoint").await?;
        let rows = own.database.query("select wal_status from pg_replication_slots").await?;
        Ok(rows.iter().any(|row| row.get::<_, &str>(0) == "lost").then_some(()))
    })
    .await?;
    own.relay().spawn()?.wait_stop(10, "slot_lost").await?;
    let status = own.command(&["status"]).output().await?;
    let text = String::from_utf8(status.stdout)?;
    ensure!(status.status.code() == Some(3) && text.contains("lost: "), "{text}");
    own.repair().await?;
    own.conclude(20).await
}

/// Set back behind the recorded position. While the repair is not done no relay streams, however
/// far the log has grown meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_set_back() -> Result<()> {
    let mut own = Own::start(&[]).await?;
    own.publish(1, 10).await?;
    let data = own.postgres.data_dir().context("a server of this machine")?.to_owned();
    let copy = data.with_extension("copy");
    own.postgres.stop(StopMode::Fast).await?;
    shell("cp", &["-a".as_ref(), &data, &copy]).await?;
    own.postgres.start_again().await?;
    own.reopen().await?;
    own.publish(901, 960).await?;
    own.postgres.stop(StopMode::Fast).await?;
    shell("rm", &["-rf".as_ref(), &data]).await?;
    shell("mv", &[&copy, &data]).await?;
    own.postgres.start_again().await?;
    own.reopen().await?;
    own.relay().spawn()?.wait_stop(10, "position_ahead").await?;
    own.insert(11, 20).await?;
    own.insert_absent().await?;

    let mut repair = own.command(&["repair", "--yes"]).spawn()?;
    repair.wait_event("repair.slot_created").await?;
    repair.kill().await?;
    let grow = "select pg_logical_emit_message(false, 'fill', repeat('x', 1000000))";
    own.database.execute(grow).await?;
    own.relay().spawn()?.wait_stop(10, "slot_moved").await?;

    own.scene.cluster.create_topic(ABSENT, 1, &[]).await?;
    own.repair().await?;
    own.conclude(20).await?;
    let records = own.topic.read_all().await?;
    let epochs = records.iter().filter_map(|it| it.header("sequence")?.get(..4));
    ensure!(epochs.max() == Some("0002"), "positions start over in the same epoch");
    Ok(())
}

struct Own {
    postgres: Postgres,
    database: Database,
    scene: Scene,
    topic: Topic,
}

impl Own {
    async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let options = PgOptions { settings: settings.collect(), ..PgOptions::of(PgVersion::V17) };
        let postgres = Postgres::start(options).await?;
        let scene = Scene::bare(PgVersion::V17).await?;
        let topic = scene.topic(1).await?;
        let database = Database::create(&postgres, scene.kind()).await?;
        database.create_outbox().await?;
        Ok(Self { postgres, database, scene, topic })
    }

    async fn reopen(&mut self) -> Result<()> {
        self.database = Database::open(&self.postgres, self.scene.kind()).await?;
        Ok(())
    }

    fn relay(&self) -> RelayCommand {
        relay_on(&self.database, self.scene.cluster.bootstrap())
    }

    fn command(&self, args: &[&str]) -> RelayCommand {
        let kafka = self.scene.cluster.bootstrap();
        let at = ["--database-url", self.database.url(), "--kafka", kafka];
        let args: Vec<&str> = ["slot"].iter().chain(args).chain(&at).copied().collect();
        RelayCommand::bare(&args)
    }

    async fn repair(&self) -> Result<()> {
        let status = self.command(&["repair", "--yes"]).spawn()?.wait().await?;
        ensure!(status.success(), "the repair ended with {status}");
        Ok(())
    }

    async fn insert(&self, from: i64, to: i64) -> Result<()> {
        let sql = format!(
            "insert into outbox.events (aggregatetype, aggregateid, type, payload)
             select '{}', 'key', 'T', jsonb_build_object('seq', i)
               from generate_series({from}, {to}) i",
            self.scene.kind()
        );
        self.database.execute(&sql).await
    }

    /// A row whose topic does not exist holds a repair up.
    async fn insert_absent(&self) -> Result<()> {
        let insert = "insert into outbox.events (aggregatetype, aggregateid, type, payload)";
        self.database.execute(&format!("{insert} values ('set-back', 'a', 'T', '{{}}')")).await
    }

    async fn publish(&self, from: i64, to: i64) -> Result<()> {
        let mut relay = self.relay().start().await?;
        self.insert(from, to).await?;
        self.database.wait_confirmed(self.database.wal_position().await?).await?;
        ensure!(relay.terminate().await?.success());
        self.database.wait_slot_inactive().await
    }

    /// A relay streams again, and every row is in Kafka.
    async fn conclude(&self, rows: usize) -> Result<()> {
        self.publish(2_001, 2_005).await?;
        let truth = truth::read(&self.database, self.scene.kind()).await?;
        ensure!(truth.len() == rows + 5, "{} rows", truth.len());
        let records = self.topic.read_all().await?;
        for row in truth {
            let published = records.iter().any(|it| it.header("id") == Some(&row.id));
            ensure!(published, "{row:?} is not in Kafka");
        }
        Ok(())
    }
}

async fn shell(program: &str, args: &[&Path]) -> Result<()> {
    let status = Command::new(program).args(args).status().await?;
    ensure!(status.success(), "{program} {args:?} ended with {status}");
    Ok(())
}

const ABSENT: &str = "outbox.event.set-back";
