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
pub struct Guard {
    shell: Child,
}

impl Guard {
    pub fn over(pid: u32) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "outboxd-test-guard", &pid.to_string()]);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { shell: command.spawn().context("start a guard")? })
    }

    /// The process has ended: there is nothing left to kill.
    pub fn release(&mut self) {
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// Ends by itself, with success, once its standard input is closed.
    fn reader() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_closed_pipe_kills() {
        let mut guarded = reader();
        drop(Guard::over(guarded.id()).unwrap());
        // Waiting for it closes its input, which must come too late.
        assert_eq!(guarded.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_released_process_is_left_alone() {
        let mut left_alone = reader();
        let mut guard = Guard::over(left_alone.id()).unwrap();
        guard.release();
        drop(guard);
        assert!(left_alone.wait().unwrap().success());
    }
}
