//! Kills a process when this one ends, in whatever way.
//!
//! The guard is a shell that reads from a pipe whose other end only this process holds: the kernel
//! closes it even when we are killed. A line says that the process has ended by itself, so that a
//! stranger who gets its id is left alone.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    pub(crate) fn over(pid: u32) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "outboxd-test-guard", &pid.to_string()]);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { shell: command.spawn().context("start a guard")? })
    }

    /// The process has ended: there is nothing left to kill.
    pub(crate) fn release(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // A guard that is gone already kills nobody either.
            let _ = pipe.write_all(b"ended\n");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It ends at once; waiting leaves no zombie behind.
        let _ = self.shell.wait();
    }
}

const SCRIPT: &str = r#"trap '' HUP INT TERM; read -r _ || kill -9 "$1""#;
