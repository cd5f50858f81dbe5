//! Every snippet of every page runs: against real servers, in the order of the page, with `outboxd`
//! as it was built here.

mod links;
mod output;
mod page;
mod planted;
mod reader;
mod relay;
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;

use anyhow::{Context, Result, ensure};

/// A test for each page, so that pages are read beside each other.
macro_rules! pages {
    ($($test:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];
        $(
            #[tokio::test]
            async fn $test() -> Result<()> {
                follow($path).await
            }
        )*
    };
}

pages! {
    readme: "README.md",
    benchmarks: "docs/benchmarks.md",
    configuration: "docs/configuration.md",
    consuming: "docs/consuming.md",
    faults: "docs/faults.md",
    from_debezium: "docs/from-debezium.md",
    from_polling: "docs/from-polling.md",
    need: "docs/need.md",
    operations: "docs/operations.md",
    ordering: "docs/ordering.md",
    producing: "docs/producing.md",
    quickstart: "docs/quickstart.md",
    retention: "docs/retention.md",
    schema: "docs/schema.md",
    sensitive: "docs/sensitive.md",
    sql: "docs/sql.md",
    stops: "docs/stops.md",
}

async fn follow(path: &str) -> Result<()> {
    let report = reader::follow(&stage::read(path)?).await.with_context(|| path.to_owned())?;
    // Past the test harness, which keeps to itself what a successful test prints.
    writeln!(std::io::stderr(), "{path}: {report}")?;
    ensure!(report.doctests == 0 || is_doctested(path)?, "{path}: nothing compiles its Rust");
    Ok(())
}

#[test]
fn no_page_is_left_out() -> Result<()> {
    let mut found = BTreeSet::from(["README.md".to_owned()]);
    for entry in fs::read_dir(stage::repository().join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            found.insert(format!("docs/{name}"));
        }
    }
    let listed: BTreeSet<String> = PAGES.iter().map(|&page| page.to_owned()).collect();
    ensure!(found == listed, "docs/ has {found:?}, and read are {listed:?}");
    Ok(())
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    for page in PAGES.iter().chain(&["ARCHITECTURE.md", "examples/README.md"]) {
        let broken = links::broken(page)?;
        ensure!(broken.is_empty(), "{page} links to {broken:?}");
    }
    Ok(())
}

/// Whether the library takes that page into its documentation, whose Rust is compiled and run.
fn is_doctested(page: &str) -> Result<bool> {
    let library = stage::repository().join("crates/outboxd-client/src");
    let mut folders = vec![library];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read_to_string(&path)?.contains(&format!("/{page}\")")) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
