//! What is printed for other tools makes the same database.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use outboxd_relay::migrate::print::{Format, Printed, print};
use outboxd_relay::migrate::{Variant, Wish};
use outboxd_tests::database::Database;
use outboxd_tests::relay::RelayCommand;

use crate::{VERSIONS, catalog, database, up, wish};

/// The text of a file does not depend on the format, only its name: each variant has one of them.
#[tokio::test]
async fn every_format_leaves_what_up_leaves() -> Result<()> {
    let formats = [Format::Sql, Format::Flyway, Format::Sqlx, Format::Diesel];
    for version in VERSIONS {
        for (variant, format) in Variant::ALL.into_iter().zip(formats) {
            let wish = Wish { roles: true, ..wish(variant) };
            let (own, other) = (database(version).await?, database(version).await?);
            up(&own, &wish).await?;
            apply_as_the_tool_does(&other, &print(&wish, format)?, format).await?;
            let (expected, found) = (catalog::read(&own).await?, catalog::read(&other).await?);
            ensure!(found == expected, "{version} {variant} {format:?}: {found:#?}");
            // Whoever changes over later has nothing left to do.
            ensure!(up(&other, &wish).await?.is_empty());
        }
    }
    Ok(())
}

/// By the version that the tool reads in the name, each file in a transaction.
async fn apply_as_the_tool_does(
    database: &Database,
    files: &[Printed],
    format: Format,
) -> Result<()> {
    let mut sorted = BTreeMap::new();
    for file in files {
        let path = file.path.to_str().context("a path in UTF-8")?;
        let version = match format {
            Format::Flyway => path.strip_prefix('V').and_then(|rest| rest.split_once("__")),
            Format::Diesel if path.ends_with("/down.sql") => continue,
            _ => path.split_once('_'),
        };
        let (version, _) = version.context("a version in the name")?;
        ensure!(sorted.insert(version.parse::<i64>()?, &file.text).is_none(), "{path}");
    }
    for text in sorted.values() {
        database.execute(&format!("begin; {text}; commit")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn files_are_written_once_and_never_over_others() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().to_str().context("a path in UTF-8")?;
    let command = RelayCommand::bare(&[
        "migrate", "print", "--format", "flyway", "--only", "outbox", "--out", out,
    ]);
    let said = |output: std::process::Output| String::from_utf8(output.stdout);
    ensure!(said(command.output().await?)?.starts_with("written  "));
    ensure!(said(command.output().await?)?.starts_with("unchanged  "));
    let file = folder.path().join("V20261130010100__outbox_0001_schema.sql");
    ensure!(std::fs::read_to_string(&file)?.contains("create schema if not exists outbox;"));
    std::fs::write(&file, "-- mine")?;
    let output = command.output().await?;
    ensure!(output.status.code() == Some(78), "{output:?}");
    ensure!(std::fs::read_to_string(&file)? == "-- mine");
    Ok(())
}
