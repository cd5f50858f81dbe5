//! A process under measurement.
//!
//! Its end is seen without being collected: until then the kernel still knows what it used.

use std::process::{self, Command, ExitStatus};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::task::spawn_blocking;

use super::proc;

/// Killed when dropped.
pub(crate) struct Child {
    process: process::Child,
    pid: Pid,
    pub(crate) forked: Instant,
    /// By the clock that brokers stamp records with.
    pub(crate) forked_at: SystemTime,
}

/// How a process ended, and what it had used by then.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) at: Instant,
    pub(crate) cpu: Duration,
}

impl Child {
    pub(crate) fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let (forked, forked_at) = (Instant::now(), SystemTime::now());
        let program = command.get_program().to_string_lossy().into_owned();
        let process = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let pid = Pid::from_child(&process);
        Ok(Self { process, pid, forked, forked_at })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn take_stdout(&mut self) -> Option<process::ChildStdout> {
        self.process.stdout.take()
    }

    pub(crate) fn send(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    /// The status of a process that is over.
    pub(crate) fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Waits for the end. Cancel safe.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<Ended> {
        let pid = self.pid;
        let at = spawn_blocking(move || await_end(pid)).await??;
        let cpu = proc::cpu(self.id()).unwrap_or_default();
        Ok(Ended { status: self.process.wait()?, at, cpu })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a process that is gone and was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn await_end(pid: Pid) -> Result<Instant, Errno> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(error) = waitid(WaitId::Pid(pid), options) {
        if error != Errno::INTR {
            return Err(error);
        }
    }
    Ok(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_process_used_is_known_after_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3"]);
        let mut child = Child::spawn(command).unwrap();
        let ended = child.ended().await.unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.cpu > Duration::ZERO && ended.at > child.forked);
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let child = Child::spawn(command).unwrap();
        let id = child.id();
        assert!(proc::cpu(id).is_some());
        drop(child);
        assert!(proc::cpu(id).is_none());
    }
}
