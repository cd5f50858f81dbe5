//! The programs of one major version of Postgres: installed ones where there are any, else fetched.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    PgVersion, Result,
    host::command::{self, find},
    processes::postgres::archive,
};

#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
    /// The exact version as the server prints it, such as `postgres (PostgreSQL) 17.10`.
    exact: String,
}

impl Binaries {
    pub(crate) async fn of(version: PgVersion) -> Result<Self> {
        let folder = match installed(version).await {
            Some(folder) => folder,
            None => archive::folder(version).await?.join("bin"),
        };
        let mut question = Command::new(folder.join("postgres"));
        question.arg("--version");
        let exact = command::run(question).await?.trim().to_owned();
        Ok(Self { folder, exact })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn exact(&self) -> &str {
        &self.exact
    }
}

/// Where Debian and the PostgreSQL project's own packages put a major version, else what
/// `pg_config` on PATH tells. Client packages have these folders too, without a server in them.
async fn installed(version: PgVersion) -> Option<PathBuf> {
    let packaged = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    if has_server(&packaged) {
        return Some(packaged);
    }
    let mut question = Command::new(find("pg_config")?);
    question.args(["--version", "--bindir"]);
    let answer = command::run(question).await.ok()?;
    let (said, folder) = answer.trim().split_once('\n')?;
    let folder = PathBuf::from(folder);
    (major(said)? == version.major() && has_server(&folder)).then_some(folder)
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// The 17 of `PostgreSQL 17.10 (Debian 17.10-1)`.
fn major(said: &str) -> Option<u8> {
    said.strip_prefix("PostgreSQL ")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_pg_config_says() {
        assert_eq!(major("PostgreSQL 17.10 (Debian 17.10-1)"), Some(17));
        assert_eq!(major("PostgreSQL 18beta1"), Some(18));
        assert_eq!(major("something else"), None);
    }
}
