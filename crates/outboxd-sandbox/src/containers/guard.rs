//! Removes containers when this process dies by whatever signal.
//!
//! The guard is a shell that waits for a line on its standard input. The other end of that pipe is
//! held by this process alone, so its death, too, ends the wait. It knows containers by a label and
//! the network by a name that exist before them: there is no moment in which one escapes it.

use std::{
    env,
    io::Write,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Error, Result};

/// The label that marks the containers of one guard.
pub(crate) const LABEL: &str = "outboxd.sandbox";

#[derive(Debug)]
pub(crate) struct Guard {
    name: String,
    shell: Child,
}

impl Guard {
    /// Starts a guard for containers that will carry [`LABEL`] with the value [`Guard::name`].
    pub(crate) fn start() -> Result<Self> {
        let name = unique_name();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "outboxd-sandbox-guard", LABEL, &name])
            // Ctrl-C in the terminal must not reach it, and it must not keep this folder in use.
            .process_group(0)
            .current_dir(env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("start the guard of a container"))?;
        Ok(Self { name, shell })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Guard {
    /// The owner has removed its containers, or failed to: either way the guard looks once more.
    fn drop(&mut self) {
        let told = self.shell.stdin.take().map(|mut stdin| stdin.write_all(b"dropped\n"));
        if let Err(error) = self.shell.wait() {
            tracing::warn!(%error, ?told, "the guard of a container could not be waited for");
        }
    }
}

/// Containers of several users and machines may share an engine.
fn unique_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("outboxd-{}-{:x}", std::process::id(), now.as_nanos())
}

/// After a death a request to make a container may still be on its way, hence the second look.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
remove() {
    ids=$(docker ps --all --quiet --filter "label=$1=$2")
    [ -z "$ids" ] || docker rm --force --volumes $ids
    networks=$(docker network ls --quiet --filter "name=^$2\$")
    [ -z "$networks" ] || docker network rm $networks
}
read -r word
remove "$@"
[ "$word" = dropped ] && exit
sleep 3
remove "$@"
"#;
