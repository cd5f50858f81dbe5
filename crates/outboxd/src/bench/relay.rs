//! The relay as a process, as its users run it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use rustix::process::Signal;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::child::{Child, Ended};
use super::server::{LOOK_INTERVAL, PUBLICATION, Server, TABLE, Walsender};
use super::topic::Topic;

/// What it promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    AtLeastOnce,
    ExactlyOnce,
}

/// What it reads, and where to.
pub(crate) struct Route<'a> {
    pub(crate) url: String,
    /// Also the relay's name.
    pub(crate) slot: &'a str,
    /// `None`: into nothing.
    pub(crate) topic: Option<&'a Topic>,
    pub(crate) mode: Mode,
}

/// Killed when dropped.
pub(crate) struct Relay {
    pub(crate) child: Child,
    log: Log,
}

/// What a relay says on stderr.
struct Log(TempDir);

impl Mode {
    /// As it stands in a configuration.
    fn value(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at least once",
            Self::ExactlyOnce => "exactly once",
        }
    }
}

impl Route<'_> {
    /// Records the slot's position, so that what is started next finds everything in place.
    pub(crate) async fn set_up(&self) -> anyhow::Result<()> {
        let mut relay = self.spawn(&["setup", "--adopt-slot"])?;
        relay.succeed(relay_name("setup")).await
    }

    /// The relay, which goes on until it is told to stop.
    pub(crate) fn start(&self) -> anyhow::Result<Relay> {
        let sink = if self.topic.is_some() { "kafka" } else { "discard" };
        self.spawn(&["bench-relay", sink])
    }

    pub(crate) fn progress_topic(&self) -> String {
        format!("outboxd.progress.{}", self.slot)
    }

    fn spawn(&self, words: &[&str]) -> anyhow::Result<Relay> {
        let log = Log(tempfile::tempdir()?);
        let bootstrap = self.topic.map_or("127.0.0.1:1", |topic| &topic.bootstrap);
        // The file of the same name may be another by now.
        let mut command = Command::new("/proc/self/exe");
        command
            .args(words)
            .args(["--database-url", &self.url, "--table", TABLE, "--kafka", bootstrap])
            .args(["--log-format", "json", "--log-level", "info"])
            .env("OUTBOXD_SOURCE__SLOT", self.slot)
            .env("OUTBOXD_SOURCE__PUBLICATION", PUBLICATION)
            .env("OUTBOXD_DELIVERY__MODE", self.mode.value())
            .env("OUTBOXD_HTTP__LISTEN", "127.0.0.1:0")
            .env_remove("OUTBOXD_SOURCE__NAME")
            .env_remove("OUTBOXD_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log.path())?);
        if let Some(topic) = self.topic {
            command.env("OUTBOXD_TOPIC__TEMPLATE", &topic.name);
        }
        Ok(Relay { child: Child::spawn(command)?, log })
    }
}

impl Relay {
    /// Waits until the slot has its reader, and gives the process that serves it. From then on the
    /// relay knows what to do with signals.
    pub(crate) async fn streaming(&mut self, server: &Server, slot: &str) -> anyhow::Result<u32> {
        let mut walsender = Walsender::of(server, slot);
        let reading = async {
            loop {
                walsender.cpu().await?;
                if let Some(pid) = walsender.pid() {
                    return anyhow::Ok(pid);
                }
                self.expect_alive()?;
                sleep(LOOK_INTERVAL).await;
            }
        };
        timeout(START_LIMIT, reading).await.context("the relay does not stream")?
    }

    /// Waits until it has said so.
    pub(crate) async fn said(&mut self, event: &str) -> anyhow::Result<()> {
        let event = format!("\"{event}\"");
        let saying = async {
            while !self.log.text().contains(&event) {
                self.expect_alive()?;
                sleep(LOOK_INTERVAL).await;
            }
            anyhow::Ok(())
        };
        timeout(START_LIMIT, saying)
            .await
            .with_context(|| format!("the relay never said {event}"))?
    }

    /// Its own end, which must be a good one.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Ended> {
        let ended = self.child.ended().await?;
        if !ended.status.success() {
            bail!("the relay ended with {}\n{}", ended.status, self.log.tail());
        }
        Ok(ended)
    }

    /// Tells it to stop and waits until it did.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        self.child.send(Signal::TERM)?;
        timeout(STOP_LIMIT, self.end()).await.context("the relay does not stop")??;
        Ok(())
    }

    /// An error if it is gone.
    pub(crate) fn expect_alive(&mut self) -> anyhow::Result<()> {
        match self.child.exited()? {
            None => Ok(()),
            Some(status) => bail!("the relay ended with {status}\n{}", self.log.tail()),
        }
    }

    /// How many events it said may come twice when it took over.
    pub(crate) fn repeats_max(&self) -> Option<u64> {
        repeats_max(&self.log.text())
    }

    async fn succeed(&mut self, what: String) -> anyhow::Result<()> {
        let ended = timeout(STOP_LIMIT, self.end());
        ended.await.with_context(|| format!("{what} does not end"))?.context(what).map(drop)
    }
}

impl Log {
    fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

fn relay_name(command: &str) -> String {
    format!("outboxd {command}")
}

fn repeats_max(log: &str) -> Option<u64> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut claimed = lines.filter(|line| line["event"] == "progress.claimed");
    claimed.next_back()?["repeats_max"].as_u64()
}

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const TAIL_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_last_claim() {
        let log = "not json\n\
                   {\"event\":\"progress.claimed\",\"repeats_max\":1}\n\
                   {\"event\":\"progress.claimed\",\"repeats_max\":50000}\n\
                   {\"event\":\"slot.streaming\"}\n";
        assert_eq!(repeats_max(log), Some(50_000));
        assert_eq!(repeats_max("{\"event\":\"slot.streaming\"}"), None);
    }
}
