//! `outboxd run` as a process of its own, so that killing it is what it is elsewhere.
//!
//! A shell stands between us and the relay. It waits for the end of its standard input, which the
//! kernel closes when this process dies in whatever way, and then kills the relay: a demo that was
//! killed leaves no relay behind.

mod log;

use std::collections::BTreeMap;
use std::env;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use outboxd_core::stop::{Code, Stop};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use self::log::Log;

pub(super) struct Relay {
    pid: Pid,
    shell: Child,
    log: Log,
}

impl Relay {
    /// With exactly this configuration, whatever stands in the environment and in files.
    pub(super) async fn start(configuration: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find this program")?;
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "outboxd-demo-relay"]).arg(program).arg("run");
        for (name, _) in env::vars_os() {
            if name == "DATABASE_URL" || name.as_encoded_bytes().starts_with(b"OUTBOXD_") {
                command.env_remove(name);
            }
        }
        command.envs(configuration);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in the terminal is for the demo alone: it ends the relay when its time has come.
        command.process_group(0);
        let mut shell = command.spawn().context("cannot start the relay")?;
        let log = Log::follow(shell.stderr.take().context("the relay's log is not there")?);
        let pid = told_pid(&mut shell).await.context("the relay's process id was not told")?;
        Ok(Self { pid, shell, log })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits until it streams. The most events that it says may repeat what was published before.
    pub(super) async fn streaming(&mut self) -> anyhow::Result<u64> {
        let streaming = timeout(START_LIMIT, self.log.streaming()).await;
        match streaming {
            Ok(Some(repeats_max)) => Ok(repeats_max),
            Ok(None) => Err(self.ended().into()),
            Err(_) => {
                let message =
                    format!("the relay did not stream within {} s", START_LIMIT.as_secs());
                Err(Stop::new(Code::Internal, message).detail(self.log.tail()).into())
            }
        }
    }

    /// The last lines of its log that matter.
    pub(super) fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Resolves when it has ended by itself, which it must not, with the reason.
    pub(super) async fn failed(&mut self) -> Stop {
        self.log.end().await;
        self.ended()
    }

    /// SIGKILL.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::KILL).context("the relay cannot be killed")?;
        self.shell_status().await.map(drop)
    }

    /// SIGTERM, and waits until everything is drained.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(self.pid, Signal::TERM).context("the relay cannot be stopped")?;
        if timeout(STOP_LIMIT, self.log.end()).await.is_err() {
            bail!("the relay did not stop within {} s", STOP_LIMIT.as_secs());
        }
        let status = self.shell_status().await?;
        if status.success() {
            return Ok(());
        }
        Err(self.ended().into())
    }

    /// Lets the shell end; its status is the relay's.
    async fn shell_status(&mut self) -> anyhow::Result<ExitStatus> {
        drop(self.shell.stdin.take());
        self.shell.wait().await.context("cannot wait for the relay")
    }

    fn ended(&self) -> Stop {
        Stop::new(Code::Internal, "the relay ended by itself").detail(self.log.tail())
    }
}

/// The shell's first line.
async fn told_pid(shell: &mut Child) -> Option<Pid> {
    let mut line = String::new();
    BufReader::new(shell.stdout.take()?).read_line(&mut line).await.ok()?;
    Pid::from_raw(line.trim().parse().ok()?)
}

/// Arguments: the command. It keeps nothing of the relay's stderr open, whose end tells us that the
/// relay has ended.
const GUARD: &str = r#"
"$@" </dev/null >/dev/null &
relay=$!
exec 2>/dev/null
echo "$relay"
read -r _
kill -9 "$relay"
wait "$relay"
"#;

const START_LIMIT: Duration = Duration::from_secs(30);
/// Beyond the relay's own limit for draining.
const STOP_LIMIT: Duration = Duration::from_secs(30);
