//! Things that are expensive to make and never change: fetched programs, freshly made databases.
//! An entry appears under its name only when complete, by a rename; of several processes that want
//! it at once, one makes it and the others wait.

use std::{
    env,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    host::{account, command},
};

/// The folder of entry `name`, made by `make` in the folder given to it if it is not there yet.
pub(crate) async fn entry(
    name: &str,
    make: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let cache = cache_folder()?;
    let entry = cache.join(name);
    if entry.is_dir() {
        return Ok(entry);
    }
    create_public(&cache)?;
    let _lock = lock(cache.join(format!("{name}.lock"))).await?;
    if entry.is_dir() {
        return Ok(entry);
    }
    // What a maker left behind that died half way: nobody else makes this entry while we hold
    // the lock.
    let draft = cache.join(format!("{name}.draft"));
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(Error::io(format!("remove {}", draft.display())))?;
    }
    create_public(&draft)?;
    make(&draft).await?;
    fs::rename(&draft, &entry).map_err(Error::io(format!("name {}", entry.display())))?;
    Ok(entry)
}

/// The cache of whoever runs this program. Root's lies where the account that root gives its
/// rights up for can read it, which is not so below root's home.
fn cache_folder() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let chosen = absolute(VARIABLE);
    if account::is_root() {
        let folder = chosen.unwrap_or_else(|| PathBuf::from("/var/cache/outboxd"));
        return match first_closed(&folder) {
            Some(path) => Err(Error::NotTraversable { path, variable: VARIABLE }),
            None => Ok(folder),
        };
    }
    chosen
        .or_else(|| absolute("XDG_CACHE_HOME").map(|path| path.join("outboxd")))
        .or_else(|| absolute("HOME").map(|path| path.join(".cache/outboxd")))
        .ok_or(Error::NoCache { variable: VARIABLE })
}

/// The first folder on the way to `path` that others may not enter.
fn first_closed(path: &Path) -> Option<PathBuf> {
    let mut ways: Vec<_> = path.ancestors().collect();
    ways.reverse();
    ways.into_iter()
        .find(|way| fs::metadata(way).is_ok_and(|found| found.permissions().mode() & 0o001 == 0))
        .map(Path::to_owned)
}

/// Creates a folder that every account may read, whatever the umask.
fn create_public(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .map_err(Error::io(format!("create {}", path.display())))
}

/// Waits for the lock of that file; it is let go when the file is closed, also by our death.
async fn lock(path: PathBuf) -> Result<File> {
    let doing = format!("lock {}", path.display());
    command::blocking(&doing, move || {
        let file = File::create(path)?;
        file.lock()?;
        Ok(file)
    })
    .await
}

const VARIABLE: &str = "OUTBOXD_CACHE";
