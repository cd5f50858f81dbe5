//! This program, started once more as a process of its own, so that killing it is what it is
//! elsewhere.
//!
//! A shell stands between us and the process. It waits for the end of its standard input, which the
//! kernel closes when we die in whatever way, and then kills the process: a demo that was killed
//! leaves nothing behind.

pub(super) mod log;

use std::collections::BTreeMap;
use std::env;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use outboxd_core::stop::{Code, Stop};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use self::log::Log;

pub(super) struct Process {
    /// What it is called in the story.
    name: &'static str,
    pid: Pid,
    shell: Child,
    pub(super) log: Log,
    status: Option<i32>,
}

impl Process {
    /// With exactly these variables, whatever stands in the environment.
    pub(super) async fn start(
        name: &'static str,
        arguments: &[&str],
        variables: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        let program = env::current_exe().context("cannot find this program")?;
        command.args(["-c", GUARD, "outboxd-demo"]).arg(program).args(arguments);
        set_variables(&mut command, variables);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in the terminal is for the demo alone: it ends the others when their time has come.
        command.process_group(0);
        let mut shell = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let log = Log::follow(shell.stderr.take().context("its log is not there")?);
        let pid = told_pid(&mut shell).await;
        let pid = pid.with_context(|| format!("the process id of {name} was not told"))?;
        Ok(Self { name, pid, shell, log, status: None })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits for its end. The status is that of a shell: 128 and the signal that killed it. Cancel
    /// safe.
    pub(super) async fn status(&mut self) -> anyhow::Result<i32> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        self.log.end().await;
        drop(self.shell.stdin.take());
        let status = self.shell.wait().await.context("cannot wait for a process")?;
        let status = status.code().unwrap_or_default();
        self.status = Some(status);
        Ok(status)
    }

    /// Resolves when it has failed.
    pub(super) async fn failed(&mut self) -> Stop {
        match self.status().await {
            Ok(0) => std::future::pending().await,
            _ => self.ended(),
        }
    }

    /// SIGKILL.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::KILL)
            .with_context(|| format!("{} cannot be killed", self.name))?;
        self.status().await.map(drop)
    }

    /// SIGTERM, and waits until it has ended in order.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let name = self.name;
        kill_process(self.pid, Signal::TERM)
            .with_context(|| format!("{name} cannot be stopped"))?;
        match timeout(STOP_LIMIT, self.status()).await {
            Ok(Ok(0)) => Ok(()),
            Ok(_) => {
                let message = format!("{name} did not stop in order");
                Err(Stop::new(Code::Internal, message).detail(self.log.tail()).into())
            }
            Err(_) => bail!("{name} did not stop within {} s", STOP_LIMIT.as_secs()),
        }
    }

    /// That it has ended by itself.
    pub(super) fn ended(&self) -> Stop {
        let message = format!("{} ended by itself", self.name);
        Stop::new(Code::Internal, message).detail(self.log.tail())
    }
}

/// Runs a command of this program to its end.
pub(super) async fn command(
    arguments: &[&str],
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let mut command = Command::new(env::current_exe().context("cannot find this program")?);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    set_variables(&mut command, variables);
    let output = command.output().await.context("cannot start a command")?;
    if output.status.success() {
        return Ok(());
    }
    let message = format!("outboxd {} has failed", arguments.join(" "));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Stop::new(Code::Internal, message).detail(words).into())
}

pub(super) fn set_variables(command: &mut Command, variables: &BTreeMap<String, String>) {
    for (name, _) in env::vars_os() {
        if name == "DATABASE_URL" || name.as_encoded_bytes().starts_with(b"OUTBOXD_") {
            command.env_remove(name);
        }
    }
    command.envs(variables);
}

/// The shell's first line.
async fn told_pid(shell: &mut Child) -> Option<Pid> {
    let mut line = String::new();
    BufReader::new(shell.stdout.take()?).read_line(&mut line).await.ok()?;
    Pid::from_raw(line.trim().parse().ok()?)
}

/// Arguments: the command. It keeps nothing of the process's stderr open, whose end tells us that
/// the process has ended.
const GUARD: &str = r#"
"$@" </dev/null >/dev/null &
process=$!
exec 2>/dev/null
echo "$process"
read -r _
kill -9 "$process"
wait "$process"
"#;

/// Beyond the relay's own limit for draining.
const STOP_LIMIT: Duration = Duration::from_secs(30);
