//! `outboxd run` in a page: it goes on while the reader reads on, and the page's end ends it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use outboxd_tests::guard::Guard;
use outboxd_tests::log::Log;
use outboxd_tests::patience::DEADLINE;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

pub(crate) struct Relay {
    child: Child,
    guard: Guard,
    log: Log,
}

impl Relay {
    /// Starts it by this shell script, which replaces itself with it, and waits until it streams.
    pub(crate) async fn start(
        script: &str,
        folder: &Path,
        variables: &[(&str, String)],
    ) -> Result<Self> {
        let mut command = Command::new("bash");
        command
            .args(["-c", script])
            .current_dir(folder)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let guard = Guard::over(child.id().context("a new child has an id")?)?;
        let stderr = child.stderr.take().context("stderr is piped")?.into_owned_fd()?;
        let relay = Self { child, guard, log: Log::read(std::fs::File::from(stderr)) };
        relay.wait_streaming().await?;
        Ok(relay)
    }

    async fn wait_streaming(&self) -> Result<()> {
        let ready = |line: &outboxd_tests::log::Line| {
            ["slot.streaming", "relay.standby"].contains(&line.event())
        };
        let found = timeout(DEADLINE, self.log.find(0, ready)).await.ok().flatten();
        found.with_context(|| format!("the relay does not stream:\n{}", self.said()))?;
        Ok(())
    }

    /// Ends it as Ctrl-C does; it must not have found anything wrong until then.
    pub(crate) async fn end(mut self) -> Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process(id, Signal::INT)?;
        }
        let status = timeout(DEADLINE, self.child.wait()).await.context("the relay runs on")??;
        self.guard.release();
        ensure!(status.success(), "the relay ended with {status}:\n{}", self.said());
        Ok(())
    }

    fn said(&self) -> String {
        let lines = self.log.lines();
        lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}
