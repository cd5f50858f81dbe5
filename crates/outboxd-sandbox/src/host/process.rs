//! One server process with its children, treated as a whole.
//!
//! Its death is not this file's promise: the guard of the folder it works in sees to that.

use std::{
    fs::OpenOptions,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::{process::Child, time};

use crate::{
    Error, Result,
    host::{
        account::Account,
        process_table::{self, Entry},
    },
};

#[derive(Debug)]
pub(crate) struct Process {
    /// How messages name it, such as `postgres 17`.
    name: String,
    child: Child,
    pid: i32,
}

impl Process {
    /// Starts `command` inside `folder` under `account`, with its output appended to `log`. A
    /// process group of its own keeps Ctrl-C in the terminal away from it.
    pub(crate) fn start(
        name: String,
        mut command: Command,
        account: Account,
        log: &Path,
    ) -> Result<Self> {
        let starting = || Error::io(format!("start {name}"));
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(starting())?;
        let errors = output.try_clone().map_err(starting())?;
        command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
        account.apply(&mut command);
        let child = tokio::process::Command::from(command).spawn().map_err(starting())?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid =
            pid.expect("a child that was not waited for has an id, which the kernel keeps small");
        Ok(Self { name, child, pid })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// How the process ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(Error::io(format!("ask for the state of {}", self.name)))
    }

    /// Sends `signal` to the process alone and waits for its end.
    pub(crate) async fn stop(&mut self, signal: Signal, limit: Duration) -> Result<()> {
        self.expect_running()?;
        send(self.pid, signal);
        match time::timeout(limit, self.child.wait()).await {
            Ok(ended) => ended.map(drop).map_err(Error::io(format!("wait for {}", self.name))),
            Err(_) => Err(Error::StillRunning { server: self.name.clone(), limit }),
        }
    }

    /// Kills the whole family at once: it is frozen first, so that no member sees another die.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let family = self.freeze().await?;
        for member in &family {
            send(member.pid, Signal::KILL);
        }
        self.child.wait().await.map_err(Error::io(format!("wait for {}", self.name)))?;
        self.settle(|| Ok(!process_table::any_alive(&family)?)).await
    }

    /// Suspends the whole family and returns its members; when it returns none of them runs.
    pub(crate) async fn freeze(&mut self) -> Result<Vec<Entry>> {
        self.expect_running()?;
        send(self.pid, Signal::STOP);
        let mut family = Vec::new();
        let pid = self.pid;
        self.settle(|| {
            family = process_table::family(pid)?;
            let moving: Vec<_> = family.iter().filter(|member| !member.is_still()).collect();
            for member in &moving {
                send(member.pid, Signal::STOP);
            }
            Ok(moving.is_empty())
        })
        .await?;
        Ok(family)
    }

    /// Lets the family run again, children first, so that their parent finds them awake.
    pub(crate) fn thaw(&mut self) -> Result<()> {
        self.expect_running()?;
        for member in process_table::family(self.pid)?.iter().rev() {
            send(member.pid, Signal::CONT);
        }
        Ok(())
    }

    /// Until the end of a child is asked for, no other process gets its id: signals sent right
    /// after this cannot hit a stranger.
    fn expect_running(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(_) => Err(Error::NotRunning { server: self.name.clone() }),
        }
    }

    /// Asks until `settled` says yes; signals take effect within a few scheduler ticks.
    async fn settle(&self, mut settled: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = time::Instant::now() + SETTLE_LIMIT;
        while !settled()? {
            if time::Instant::now() > deadline {
                return Err(Error::StillRunning { server: self.name.clone(), limit: SETTLE_LIMIT });
            }
            time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// A process that has gone meanwhile needs no signal.
fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::debug!(%error, ?pid, ?signal, "signal not delivered");
    }
}

const SETTLE_LIMIT: Duration = Duration::from_secs(20);
