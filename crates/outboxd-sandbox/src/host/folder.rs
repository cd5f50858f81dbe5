//! A server's temporary folder, and the guard that keeps promises for it: when the folder's owner
//! drops it or dies in any way, all processes that work in the folder are killed and the folder is
//! removed.
//!
//! The guard is a shell that waits for the end of its standard input. The other end of that pipe is
//! held by this process alone (children do not inherit it), so the kernel closes it even when we
//! are killed. It finds the processes by their working folder, which sees every generation of
//! children, frozen ones too, and needs no list of process ids that could go stale; so each server
//! must be started with its working folder inside.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    Error, Result,
    host::account::{self, Account},
};

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    account: Account,
    guard: Child,
}

impl Folder {
    /// Creates a folder for servers that run under `account`, and its guard.
    pub(crate) fn create(account: Account) -> Result<Self> {
        let base = base().canonicalize().map_err(Error::io("find the temporary folder"))?;
        let path = tempfile::Builder::new()
            .prefix("outboxd-")
            .tempdir_in(base)
            .map_err(Error::io("create a temporary folder"))?
            .keep();
        account.own(&path)?;
        let guard = start_guard(&path, account).inspect_err(|_| drop(fs::remove_dir(&path)))?;
        Ok(Self { path, account, guard })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// Creates a folder inside that belongs to the servers' account.
    pub(crate) fn create_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path).map_err(Error::io(format!("create {}", path.display())))?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// Writes a file inside that only the servers' account may read.
    pub(crate) fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        fs::write(path, content)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
            .map_err(Error::io(format!("write {}", path.display())))?;
        self.account.own(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the pipe wakes the guard; waiting means that nothing is left once we return.
        drop(self.guard.stdin.take());
        if let Err(error) = self.guard.wait() {
            tracing::warn!(%error, folder = %self.path.display(), "sandbox folder may be left over");
        }
    }
}

/// Where temporary folders go. The account that root gives its rights up for must be able to
/// remove its folder there.
fn base() -> PathBuf {
    let asked = env::temp_dir();
    let open = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o003 == 0o003)
    };
    let suits = !account::is_root() || open(&asked);
    // A Unix socket's path may have 107 bytes, of which the folder's own name and ours take 36.
    if suits && asked.as_os_str().len() <= 70 { asked } else { PathBuf::from("/tmp") }
}

/// Starts the guard in a process group of its own, where Ctrl-C in the terminal does not reach it.
fn start_guard(path: &Path, account: Account) -> Result<Child> {
    let mut command = Command::new("sh");
    command
        .args(["-c", GUARD, "outboxd-sandbox-guard"])
        .arg(pattern_of(path))
        .arg(path)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    account.apply(&mut command);
    command.spawn().map_err(Error::io("start the guard of a temporary folder"))
}

/// A `find -lname` pattern for exactly `path`.
fn pattern_of(path: &Path) -> String {
    let mut pattern = String::new();
    for character in path.to_string_lossy().chars() {
        if "*?[]\\".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// It runs under the servers' account, which is what lets it see their working folders.
/// Arguments: pattern of the folder, folder.
const GUARD: &str = r#"
trap '' HUP INT TERM
read -r _
while :; do
    found=$(find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$1" -o -lname "$1/*" \) 2>/dev/null | cut -d/ -f3)
    [ -n "$found" ] || break
    kill -9 $found
    sleep 0.02
done
rm -rf -- "$2"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_literally() {
        assert_eq!(pattern_of(Path::new("/tmp/a[1]*?\\")), "/tmp/a\\[1\\]\\*\\?\\\\");
    }

    #[test]
    fn dropping_kills_what_works_inside_and_removes_the_folder() {
        let folder = Folder::create(Account::Own).unwrap();
        let path = folder.path().to_owned();
        let inner = folder.create_dir("inner").unwrap();
        let mut sleeper = Command::new("sleep").arg("1000").current_dir(&inner).spawn().unwrap();
        drop(folder);
        assert!(!path.exists());
        assert!(!sleeper.wait().unwrap().success());
    }
}
