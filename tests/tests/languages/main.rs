//! The examples in every language that this machine has: each appends an event in a business
//! transaction, the real relay publishes, each consumes all of them, and every one of them twice.

mod redeliver;
mod toolchain;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use outboxd_sandbox::PgVersion;
use outboxd_tests::patience::DEADLINE;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Topic;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::toolchain::Program;

/// One database for services and consumers of all languages.
struct Shop {
    scene: Scene,
    topic: Topic,
    programs: Vec<Program>,
}

#[tokio::test]
async fn every_language_appends_and_handles_once() -> Result<()> {
    let (programs, skipped) = programs().await?;
    let shop = Shop::open(programs).await?;
    let mut relay = shop.scene.relay().start().await?;
    shop.place_orders().await?;
    let published = shop.programs.len() + 1;
    let records = shop.topic.read_at_least(published).await?;
    ensure!(records.len() == published, "rolled back and published: {records:?}");
    redeliver::all(&shop.scene.cluster, &shop.topic, &records).await?;
    shop.consume(2 * published).await?;
    shop.check_payments().await?;
    ensure!(relay.terminate().await?.success());
    report(&shop.programs, &skipped)
}

/// Those that can be run, and why others cannot.
async fn programs() -> Result<(Vec<Program>, Vec<String>)> {
    let mut found = (Vec::new(), Vec::new());
    for one in spawn_blocking(toolchain::prepare_all).await?? {
        match one {
            Ok(program) => found.0.push(program),
            Err(reason) => found.1.push(reason),
        }
    }
    Ok(found)
}

/// Past the test harness, which keeps to itself what a successful test prints.
fn report(programs: &[Program], skipped: &[String]) -> Result<()> {
    let names: Vec<_> = programs.iter().map(|program| program.language).collect();
    let mut out = std::io::stderr();
    writeln!(out, "languages: {} run ({})", names.len(), names.join(", "))?;
    writeln!(out, "languages: {} skipped ({})", skipped.len(), skipped.join(", "))?;
    Ok(())
}

impl Shop {
    async fn open(programs: Vec<Program>) -> Result<Self> {
        let scene = Scene::bare(PgVersion::V17).await?;
        let made = RelayCommand::bare(&["migrate", "up", "--database-url", scene.database.url()]);
        let made = made.output().await?;
        ensure!(made.status.success(), "{}", said(&made));
        scene.database.execute(TABLES).await?;
        scene.database.publish("outbox.events").await?;
        let topic = scene.cluster.create_topic("outbox.event.order", 2, &[]).await?;
        Ok(Self { scene, topic, programs })
    }

    async fn run(&self, program: &Program, args: &[&str]) -> Result<Output> {
        let mut command = program.command();
        command
            .args(args)
            .env("DATABASE_URL", self.scene.database.url())
            .env("KAFKA", self.scene.cluster.bootstrap())
            .env("CONSUMER", program.language)
            .kill_on_drop(true);
        let output = timeout(DEADLINE * 2, command.output()).await;
        output
            .with_context(|| format!("{}: {args:?} never ends", program.language))?
            .map_err(Into::into)
    }

    /// An order by each, one that each rolls back, and one whose payment will fail.
    async fn place_orders(&self) -> Result<()> {
        for program in &self.programs {
            let language = program.language;
            let placed = self.run(program, &["order", language, "1999"]).await?;
            ensure!(placed.status.success(), "{language}: {}", said(&placed));
            let refused =
                self.run(program, &["order", &format!("{language}-refused"), "-1"]).await?;
            ensure!(!refused.status.success(), "{language} took what its database refused");
            ensure!(said(&refused).contains("orders_amount_is_positive"), "{}", said(&refused));
        }
        let first = self.programs.first().context("Rust is always there")?;
        let dear = self.run(first, &["order", "dear", "200000"]).await?;
        ensure!(dear.status.success(), "{}", said(&dear));
        Ok(())
    }

    /// Each hears of every order twice: pays once, and gives the dear one up after three attempts.
    async fn consume(&self, messages: usize) -> Result<()> {
        let count = messages.to_string();
        let consume = self.programs.iter().map(async |program| {
            let output = self.run(program, &["pay", &count]).await?;
            let (language, said) = (program.language, said(&output));
            ensure!(output.status.success(), "{language}: {said}");
            let lines = |word| said.lines().filter(|line| line.starts_with(word)).count();
            let [paid, duplicates, failed, dead] =
                ["paid ", "duplicate ", "failed ", "dead "].map(lines);
            // A dead message that comes again is a duplicate in SQL, and dead to the library.
            let is_right = paid == messages / 2 - 1 && failed == 2 && [1, 2].contains(&dead);
            ensure!(is_right && paid + duplicates + dead == messages, "{language}: {said}");
            Ok(())
        });
        try_join_all(consume).await?;
        Ok(())
    }

    /// Nothing but the inbox makes payments unique.
    async fn check_payments(&self) -> Result<()> {
        let languages = self.programs.iter().map(|program| program.language);
        let expected: BTreeSet<(String, String)> = languages
            .clone()
            .flat_map(|consumer| languages.clone().map(move |order| (consumer, order)))
            .map(|(consumer, order)| (consumer.to_owned(), order.to_owned()))
            .collect();
        let rows = self.scene.database.query("select consumer, order_id from payments").await?;
        let paid: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        ensure!(paid.len() == expected.len(), "double payments, or missing ones: {paid:?}");
        ensure!(paid.into_iter().collect::<BTreeSet<_>>() == expected);
        let dead = "select consumer, attempts, convert_from(key, 'UTF8'), headers->0->>0
                      from inbox.messages where state = 'DEAD' and last_error like '%limit%'";
        let dead = self.scene.database.query(dead).await?;
        let is_kept = |row: &tokio_postgres::Row| {
            row.get::<_, i32>(1) == 3
                && row.get::<_, &str>(2) == "dear"
                && row.get::<_, &str>(3) == "id"
        };
        ensure!(dead.len() == self.programs.len() && dead.iter().all(is_kept), "{dead:?}");
        Ok(())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const TABLES: &str = include_str!("../../../examples/schema.sql");
