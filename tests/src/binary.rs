//! Where the binary under test is.
//!
//! Cargo tells a test the path of its own package's binaries only, so it is asked to build this one
//! as `cargo test --workspace` builds it: with the same profile, folder and selection of features,
//! so that nothing is compiled twice. `OUTBOXD_BIN` names a binary to use as it is.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Built on first use, once in a process.
pub fn path() -> Result<&'static Path> {
    static PATH: OnceLock<Result<PathBuf>> = OnceLock::new();
    match PATH.get_or_init(find) {
        Ok(path) => Ok(path),
        Err(error) => bail!("the binary under test: {error:#}"),
    }
}

fn find() -> Result<PathBuf> {
    if let Some(path) = env::var_os("OUTBOXD_BIN") {
        return Ok(PathBuf::from(path));
    }
    let own = env::current_exe()?;
    // target/<profile>/deps/<test>
    let profile = own.ancestors().nth(2).context("a test lies in a profile's folder")?;
    let target = profile.parent().context("a profile's folder lies in the target folder")?;
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["test", "--workspace", "--no-run", "--test", "cli", "--quiet"])
        .args(["--message-format", "json", "--profile", name, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .envs(env::vars_os().filter(|(name, _)| !is_of_this_package(name)))
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let built = command.output().context("run cargo")?;
    ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let said = String::from_utf8_lossy(&built.stdout);
    said.lines().find_map(executable).context("cargo built no binary named outboxd")
}

/// What cargo tells a running test about its package. Build scripts that look at such variables
/// would take a change in them for a reason to run again.
fn is_of_this_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&name.as_ref())
}

/// The path in cargo's message about the binary; other messages have none.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let target = message.get("target")?;
    let is_binary = target.get("kind")?.get(0)? == "bin" && target.get("name")? == "outboxd";
    is_binary.then(|| message.get("executable")?.as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_told_apart_from_tests_and_libraries() {
        let message = |kind: &str, name: &str| {
            format!(
                r#"{{"target":{{"kind":["{kind}"],"name":"{name}"}},"executable":"/t/{name}"}}"#
            )
        };
        assert_eq!(executable(&message("bin", "outboxd")), Some("/t/outboxd".into()));
        assert_eq!(executable(&message("bin", "other")), None);
        assert_eq!(executable(&message("test", "outboxd")), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("warning: something"), None);
    }
}
