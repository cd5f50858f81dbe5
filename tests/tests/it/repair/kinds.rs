//! Every version of Postgres, and other kinds of tables.

use anyhow::{Result, ensure};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};
use outboxd_tests::database::Database;

use super::gap::Gap;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_14() -> Result<()> {
    on(PgVersion::V14).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_15() -> Result<()> {
    on(PgVersion::V15).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_16() -> Result<()> {
    on(PgVersion::V16).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_18() -> Result<()> {
    on(PgVersion::V18).await
}

async fn on(version: PgVersion) -> Result<()> {
    let gap = Gap::on(version).await?;
    gap.drop_slot().await?;
    gap.insert(21, 40).await?;
    gap.expect_stop("slot_missing").await?;
    gap.repair(&["--yes"]).await?.expect(0)?;
    gap.expect_stream().await?;
    if version >= PgVersion::V17 {
        let status = gap.status().await?.expect(0)?;
        ensure!(status["details"]["failover"] == true, "{status}");
    }
    gap.conclude(30).await
}

/// A relay that publishes some of the rows only does not publish the others in a repair.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_publication_filters_out_stay_out() -> Result<()> {
    let gap = Gap::open().await?;
    gap.drop_slot().await?;
    let sql = "alter publication outboxd set table outbox.events where (aggregateid <> 'key-0')";
    gap.scene.database.execute(sql).await?;
    gap.insert(21, 40).await?;
    let planned = gap.repair(&["--dry-run"]).await?.expect(0)?;
    // Of 11 to 40, every third is of that key.
    ensure!(planned["gap"]["rows"]["rows"] == 20, "{planned}");
    Ok(())
}

/// A copy of production with the same names, while production is at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_does_not_take_production_over() -> Result<()> {
    let gap = Gap::open().await?;
    let before = gap.state().await?;
    // A server with arguments of its own is no copy of the sandbox's template.
    let initdb_args = vec!["--no-instructions".to_owned()];
    let options = PgOptions { initdb_args, ..PgOptions::of(PgVersion::V17) };
    let twin = Postgres::start(options).await?;
    let database = Database::create(&twin, gap.scene.database.name()).await?;
    database.create_outbox().await?;
    let at = ["--database-url", database.url(), "--kafka", gap.scene.cluster.bootstrap()];
    let args: Vec<&str> = ["slot", "repair", "--yes"].iter().chain(&at).copied().collect();
    let mut repair = outboxd_tests::relay::RelayCommand::bare(&args).spawn()?;
    repair.wait_stop(10, "other_system").await?;
    ensure!(gap.state().await? == before, "the clone has changed something");
    gap.expect_stream().await
}
