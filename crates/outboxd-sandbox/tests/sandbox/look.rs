//! Looking at processes from outside.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Asks until `holds` says yes, or fails after a time that only something broken takes.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        ensure!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The state letter of a process, `None` when it is gone.
pub(crate) fn state(pid: &str) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(crate) fn is_gone(pid: &str) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}
