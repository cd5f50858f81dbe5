//! Brokers that ask who is there and what they may do: the rights that a relay needs, rights taken
//! away, a password that was changed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{KafkaOptions, PgOptions, PgVersion};
use outboxd_tests::log::Line;
use outboxd_tests::relay::{RelayCommand, RelayProcess};
use outboxd_tests::workload::{Running, Workload};
use tempfile::TempDir;
use tokio::process::Command;

use crate::mode::Mode;
use crate::stage::{Stage, grown};

/// Servers of its own with one user, who may do nothing until it is given rights.
struct Guarded {
    stage: Stage,
    folder: TempDir,
}

/// Rights on one resource, as Kafka's tool takes them.
struct Rights<'a> {
    on: &'a str,
    name: String,
    operations: &'a [&'a str],
}

impl Guarded {
    async fn new() -> Result<Self> {
        let kafka = KafkaOptions::guarded(&[(USER, "first")]);
        let stage = Stage::on(PgOptions::of(PgVersion::V17), kafka).await?;
        let guarded = Self { stage, folder: tempfile::tempdir()? };
        fs::write(guarded.password_file(), "first\n")?;
        Ok(guarded)
    }

    /// Has all rights, and a progress topic.
    async fn with_rights(mode: Mode) -> Result<Self> {
        let guarded = Self::new().await?;
        guarded.set_up().await?;
        guarded.allow(&guarded.progress()).await?;
        if mode == Mode::ExactlyOnce {
            guarded.allow(&guarded.transactions()).await?;
        }
        guarded.allow(&guarded.events()).await?;
        Ok(guarded)
    }

    /// Somebody else makes what a relay does not have to make itself.
    async fn set_up(&self) -> Result<()> {
        let kafka = self.stage.kafka.bootstrap();
        let args = ["setup", "--database-url", self.stage.database.url(), "--kafka", &kafka];
        let output = RelayCommand::bare(&args).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// A relay that creates nothing.
    fn relay(&self, mode: Mode) -> Result<RelayCommand> {
        let kafka = self.stage.kafka.bootstrap_of("SASL_PLAINTEXT")?;
        let args = ["run", "--database-url", self.stage.database.url(), "--kafka", &kafka];
        let password_file = self.password_file();
        let command = RelayCommand::bare(&args)
            .set("http.listen", "off")
            .set("kafka.security.protocol", "SASL_PLAINTEXT")
            .set("kafka.security.sasl.mechanism", "SCRAM-SHA-512")
            .set("kafka.security.sasl.username", USER)
            .set("kafka.security.sasl.password_file", password_file.to_str().context("a path")?);
        Ok(mode.on(command))
    }

    fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    fn events(&self) -> Rights<'static> {
        let name = self.stage.topic.name().to_owned();
        Rights { on: "--topic", name, operations: &["Write", "Describe", "DescribeConfigs"] }
    }

    fn writing(&self) -> Rights<'static> {
        Rights { operations: &["Write"], ..self.events() }
    }

    fn progress(&self) -> Rights<'static> {
        let name = format!("outboxd.progress.{}", self.stage.database.slot());
        let operations = &["Read", "Write", "Describe", "DescribeConfigs"];
        Rights { on: "--topic", name, operations }
    }

    fn transactions(&self) -> Rights<'static> {
        let name = format!("outboxd.{}", self.stage.database.slot());
        Rights { on: "--transactional-id", name, operations: &["Write", "Describe"] }
    }

    async fn allow(&self, rights: &Rights<'_>) -> Result<()> {
        self.change(&["--add"], rights).await
    }

    async fn deny(&self, rights: &Rights<'_>) -> Result<()> {
        self.change(&["--remove", "--force"], rights).await
    }

    async fn change(&self, change: &[&str], rights: &Rights<'_>) -> Result<()> {
        let principal = format!("User:{USER}");
        let mut args =
            [change, &["--allow-principal", &principal, rights.on, &rights.name]].concat();
        args.extend(rights.operations.iter().flat_map(|&one| ["--operation", one]));
        self.tool("org.apache.kafka.tools.AclCommand", &args).await
    }

    /// The brokers know another password from now on. Who is connected stays so.
    async fn change_password(&self, password: &str) -> Result<()> {
        let change = format!("SCRAM-SHA-512=[password={password}]");
        let user = ["--entity-type", "users", "--entity-name", USER];
        let args = [&["--alter", "--add-config", &change][..], &user].concat();
        self.tool("kafka.admin.ConfigCommand", &args).await
    }

    async fn tool(&self, class: &str, args: &[&str]) -> Result<()> {
        let quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned);
        let mut tool = Command::from(self.stage.kafka.tools().await?.command(&quick, class));
        tool.args(["--bootstrap-server", &self.stage.kafka.bootstrap()]).args(args);
        let said = tool.kill_on_drop(true).output().await?;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        Ok(())
    }

    async fn grown(&self, by: i64) -> Result<()> {
        grown(&self.stage.topic, by).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() -> Result<()> {
    enough(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough_exactly_once() -> Result<()> {
    enough(Mode::ExactlyOnce).await
}

async fn enough(mode: Mode) -> Result<()> {
    let guarded = Guarded::with_rights(mode).await?;
    let relay = guarded.relay(mode)?.start().await?;
    Workload::new(guarded.stage.kind()).run(&guarded.stage.database).await?;
    guarded.stage.conclude(mode, relay).await?.expect_perfect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_taken_away_is_waited_for() -> Result<()> {
    taken_away(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_taken_away_is_waited_for_exactly_once() -> Result<()> {
    taken_away(Mode::ExactlyOnce).await
}

async fn taken_away(mode: Mode) -> Result<()> {
    let guarded = Guarded::with_rights(mode).await?;
    let mut relay = guarded.relay(mode)?.expect_error("producer.failed").start().await?;
    let writers = guarded.stage.load().await?;
    for _ in 0..2 {
        guarded.grown(300).await?;
        let mark = relay.mark();
        guarded.deny(&guarded.writing()).await?;
        relay.wait_event_after(mark, "producer.failed").await?;
        let position = guarded.stage.database.wal_position().await?;
        let confirmed = guarded.stage.database.confirmed().await?.context("no slot")?;
        ensure!(confirmed < position, "{confirmed} is confirmed");
        guarded.allow(&guarded.writing()).await?;
        guarded.grown(300).await?;
        let failed = |line: &Line| line.event() == "producer.failed";
        let count = relay.lines().split_off(mark).iter().filter(|line| failed(line)).count();
        println!("{count} producers failed, {mode:?}");
        ensure!(relay.is_running()?, "the relay ended");
    }
    writers.stop().await?;
    guarded.stage.conclude(mode, relay).await?.expect_perfect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_is_read_again() -> Result<()> {
    let mode = Mode::AtLeastOnce;
    let (guarded, writers, relay) = changed_password(mode).await?;
    writers.stop().await?;
    relay.wait_event("producer.replaced").await?;
    let lost = relay.lines().into_iter().filter(|line| line.event() == "producer.replaced");
    let lost: u64 = lost.filter_map(|line| line.number("lost")).sum();
    // What a broker had when it went, and did not say so, goes again.
    let verdict = guarded.stage.conclude(mode, relay).await?;
    println!("{} repeats, {lost} allowed", verdict.duplicates.len());
    verdict.expect_repeats_up_to(lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_is_read_again_exactly_once() -> Result<()> {
    let (guarded, writers, relay) = changed_password(Mode::ExactlyOnce).await?;
    writers.stop().await?;
    guarded.stage.conclude(Mode::ExactlyOnce, relay).await?.expect_perfect()
}

/// Up to where records flow again.
async fn changed_password(mode: Mode) -> Result<(Guarded, Running, RelayProcess)> {
    let mut guarded = Guarded::with_rights(mode).await?;
    let mut relay = guarded.relay(mode)?.expect_error("producer.failed").start().await?;
    let writers = guarded.stage.load().await?;
    guarded.grown(300).await?;
    guarded.change_password("second").await?;
    let mark = relay.mark();
    guarded.stage.kafka.stop_broker(1).await?;
    guarded.stage.kafka.start_broker_again(1).await?;
    let refused = relay.wait_event_after(mark, "kafka.login_refused").await?;
    ensure!(refused.field("hint").contains("kafka.security.sasl"), "{}", refused.text);
    ensure!(relay.is_running()?, "the relay ended");
    fs::write(guarded.password_file(), "second\n")?;
    guarded.grown(300).await?;
    Ok((guarded, writers, relay))
}

const USER: &str = "relay";
