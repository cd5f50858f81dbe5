//! Programs that run for a moment and end.

use std::{env, io, path::PathBuf, process::Stdio};

use crate::{Error, Result};

/// Runs a command to its end; its standard output, or an error with everything it said.
pub(crate) async fn run(command: std::process::Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::io(format!("run {shown}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(Error::Command { command: shown, status: output.status, output: said + &complaint })
}

/// Looks a program up on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Copies a folder with owners and modes, sharing blocks where the file system can.
pub(crate) async fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let mut command = std::process::Command::new("cp");
    command.args(["-a", "--reflink=auto"]).arg(from).arg(to);
    run(command).await.map(drop)
}

/// Runs something that blocks where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(Error::io(doing))
}
