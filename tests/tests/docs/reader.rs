//! Does what a page says, block after block, and tells what it did.

use std::fmt;
use std::fs;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use outboxd_tests::patience::DEADLINE;
use tokio::process::Command;
use tokio::time::timeout;

use crate::output;
use crate::page::{self, Block, Fate, Language};
use crate::relay::Relay;
use crate::stage::Stage;

/// What became of a page's blocks.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) run: usize,
    pub(crate) doctests: usize,
    /// Lines and reasons.
    pub(crate) not_run: Vec<(usize, String)>,
}

struct Reader {
    stage: Stage,
    relays: Vec<Relay>,
}

/// Reads a page from its top to its end on servers of its own.
pub(crate) async fn follow(page: &str) -> Result<Report> {
    let blocks = page::parse(page)?;
    let is_run = |block: &&Block| matches!(block.fate, Fate::Run { .. });
    let mut report = Report::default();
    if let Some(_first) = blocks.iter().find(is_run) {
        // What speaks of Kafka needs one.
        let kafka = blocks.iter().filter(is_run).any(|block| mentions_kafka(&block.text));
        let mut reader = Reader { stage: Stage::new(kafka).await?, relays: Vec::new() };
        for block in blocks.iter().filter(is_run) {
            reader.act(block).await.with_context(|| format!("line {}", block.line))?;
        }
        for relay in reader.relays {
            relay.end().await?;
        }
    }
    for block in blocks {
        report.count(block);
    }
    Ok(report)
}

fn mentions_kafka(text: &str) -> bool {
    ["kafka", "KAFKA", "outboxd run", "outboxd setup"].iter().any(|word| text.contains(word))
}

impl Reader {
    async fn act(&mut self, block: &Block) -> Result<()> {
        let Fate::Run { language, fails } = block.fate else { return Ok(()) };
        let text = self.stage.with_addresses(&block.text);
        let outputs = match language {
            Language::Sql => vec![self.sql(&text).await?],
            Language::Toml => vec![self.configuration(&text).await?],
            Language::Shell => self.shell(&text).await?,
        };
        let succeeded = outputs.iter().all(|output| output.status.success());
        let said = outputs.iter().fold(String::new(), |said, output| said + &both(output));
        println!("{}\n{said}", block.text);
        ensure!(succeeded != fails, "{}:\n{said}", if fails { "should fail" } else { "failed" });
        let Some(expected) = &block.output else { return Ok(()) };
        let found =
            outputs.iter().fold(String::new(), |found, output| found + &shown(output, fails));
        output::matches(expected, &found).map_err(anyhow::Error::msg)
    }

    async fn sql(&self, text: &str) -> Result<Output> {
        fs::write(self.stage.folder().join("block.sql"), text)?;
        self.bash("psql -X -v ON_ERROR_STOP=1 -f block.sql \"$DATABASE_URL\"").await
    }

    /// A configuration file stays where the commands that follow can name it.
    async fn configuration(&self, text: &str) -> Result<Output> {
        fs::write(self.stage.folder().join("outboxd.toml"), text)?;
        // A part of a file is checked with the two settings that nothing goes without.
        self.bash(
            "OUTBOXD_KAFKA__BOOTSTRAP_SERVERS=${KAFKA:-kafka:9092} \
             outboxd config validate --config outboxd.toml",
        )
        .await
    }

    /// Relays are started beside the rest; everything else runs in its order.
    async fn shell(&mut self, text: &str) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        for part in parts(text) {
            match part {
                Part::Commands(script) => {
                    let output = self.bash(&script).await?;
                    let over = !output.status.success();
                    outputs.push(output);
                    if over {
                        break;
                    }
                }
                Part::Relay(line) => {
                    let script = format!("{PRELUDE}\nexec {}", line.trim());
                    let variables = self.stage.variables();
                    let relay = Relay::start(&script, self.stage.folder(), &variables).await?;
                    self.relays.push(relay);
                }
            }
        }
        Ok(outputs)
    }

    /// What a block exports is there in the next one, as in a terminal that stays open.
    async fn bash(&self, script: &str) -> Result<Output> {
        let script = format!("{PRELUDE}\n{script}\nexport -p > exported");
        let mut command = Command::new("bash");
        command
            .args(["-c", &script])
            .current_dir(self.stage.folder())
            .envs(self.stage.variables())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(timeout(DEADLINE * 2, command.output()).await.context("the block never ends")??)
    }
}

impl Report {
    fn count(&mut self, block: Block) {
        match block.fate {
            Fate::Run { .. } => self.run += 1,
            Fate::Doctest => self.doctests += 1,
            Fate::NotRun { reason } => self.not_run.push((block.line, reason)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, doctests, not_run } = self;
        write!(f, "{run} run, {doctests} doctests, {} not run", not_run.len())?;
        for (line, reason) in not_run {
            write!(f, "\n  line {line}: {reason}")?;
        }
        Ok(())
    }
}

enum Part {
    Commands(String),
    Relay(String),
}

/// Takes the lines that start a relay out of a script; a backslash at its end goes on with a line.
fn parts(text: &str) -> Vec<Part> {
    let joined = text.replace("\\\n", " ");
    let mut parts = Vec::new();
    for line in joined.lines() {
        if line.starts_with("outboxd run") && !line.contains("--once") {
            parts.push(Part::Relay(line.to_owned()));
            continue;
        }
        match parts.last_mut() {
            Some(Part::Commands(script)) => {
                script.push('\n');
                script.push_str(line);
            }
            _ => parts.push(Part::Commands(line.to_owned())),
        }
    }
    parts
}

/// What a reader looks at: the result, or what went wrong.
fn shown(output: &Output, fails: bool) -> String {
    let stream = if fails { &output.stderr } else { &output.stdout };
    String::from_utf8_lossy(stream).into_owned()
}

fn both(output: &Output) -> String {
    shown(output, false) + &shown(output, true)
}

const PRELUDE: &str = "set -euo pipefail\n[ ! -f exported ] || . ./exported";
