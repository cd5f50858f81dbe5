//! The account a server runs under. Postgres refuses to run as root, so there root gives up its
//! rights; everybody else stays who they are.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
};

use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// Whoever runs this program.
    Own,
    /// The account without any rights that every Linux has, taken only by root.
    Nobody,
}

impl Account {
    /// Anybody but root.
    pub(crate) fn unprivileged() -> Self {
        if is_root() { Self::Nobody } else { Self::Own }
    }

    /// Makes `command` run under this account. The standard library drops root's other groups too.
    pub(crate) fn apply(self, command: &mut Command) {
        if self == Self::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
    }

    /// Gives a file or folder to this account.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Nobody => chown(path, Some(NOBODY), Some(NOBODY))
                .map_err(Error::io(format!("give {} to another user", path.display()))),
        }
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The number that all distributions agree on for user and group.
const NOBODY: u32 = 65534;
