//! Makes a data folder. Running initdb takes a second or more, so its result is kept per exact
//! version and copied; what differs between servers is written afterwards.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Error, PgOptions, Result,
    host::{account::Account, cache, command, folder::Folder},
    postgres::BASE_SETTINGS,
    processes::postgres::binaries::Binaries,
};

pub(super) async fn create(
    folder: &Folder,
    binaries: &Binaries,
    options: &PgOptions,
) -> Result<PathBuf> {
    let data = folder.path().join("data");
    if options.initdb_args.is_empty() {
        let template = template(binaries).await?;
        command::copy_folder(&template.join("data"), &data).await?;
    } else {
        initdb(folder, binaries, &options.initdb_args).await?;
    }
    configure(&data, options)?;
    if let Some(lines) = &options.hba {
        folder.write(&data.join("pg_hba.conf"), (lines.join("\n") + "\n").as_bytes())?;
    }
    for (name, content) in &options.files {
        folder.write(&data.join(name), content)?;
    }
    Ok(data)
}

/// The cache entry with a fresh data folder of exactly this server.
async fn template(binaries: &Binaries) -> Result<PathBuf> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let words: Vec<_> = binaries.exact().split(|c| !is_word(c)).filter(|w| !w.is_empty()).collect();
    let exact = words.join("-");
    cache::entry(&format!("data-{exact}"), async |entry| {
        // Made in a guarded folder: an initdb that outlives us must not write into the cache.
        let folder = Folder::create(Account::unprivileged())?;
        initdb(&folder, binaries, &[]).await?;
        command::copy_folder(&folder.path().join("data"), &entry.join("data")).await
    })
    .await
}

/// Locale C exists on every machine.
async fn initdb(folder: &Folder, binaries: &Binaries, more: &[String]) -> Result<()> {
    let mut initdb = Command::new(binaries.program("initdb"));
    initdb
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
        .args(more)
        .arg("--pgdata")
        .arg(folder.path().join("data"))
        .current_dir(folder.path());
    folder.account().apply(&mut initdb);
    command::run(initdb).await.map(drop)
}

/// The last line for a name wins, so the caller's come last.
fn configure(data: &Path, options: &PgOptions) -> Result<()> {
    let base = BASE_SETTINGS.iter().copied().chain([("listen_addresses", "127.0.0.1")]);
    let asked = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let lines: String = base.chain(asked).map(|(name, value)| setting(name, value)).collect();
    OpenOptions::new()
        .append(true)
        .open(data.join("postgresql.conf"))
        .and_then(|mut file| file.write_all(lines.as_bytes()))
        .map_err(Error::io("write postgresql.conf"))
}

/// One line of postgresql.conf, which takes backslash escapes inside quotes.
fn setting(name: &str, value: &str) -> String {
    let quoted = value.replace('\\', "\\\\").replace('\'', "''");
    format!("{name} = '{quoted}'\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        assert_eq!(setting("a", r"it's \x"), "a = 'it''s \\\\x'\n");
    }
}
