//! G9: one relay is active, the others stand by.

use anyhow::{Result, ensure};
use outboxd_tests::truth;

use super::Settled;

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_relays_stands_by_until_the_first_dies() -> Result<()> {
    let settled = Settled::new().await?;
    let mut first = settled.scene.relay().start().await?;
    let mut second = settled.scene.relay().spawn()?;
    second.wait_event("relay.standby").await?;
    settled.scene.relay().arg("--no-wait").spawn()?.wait_stop(11, "slot_in_use").await?;
    let streaming = settled.scene.database.query(STREAMING).await?;
    ensure!(streaming.len() == 1, "{} walsenders stream", streaming.len());

    first.kill().await?;
    second.wait_event("slot.streaming").await?;
    settled.insert().await?;
    settled.topic.read_at_least(2).await?;
    ensure!(second.terminate().await?.success(), "an orderly end");
    let rows = truth::read(&settled.scene.database, settled.scene.kind()).await?;
    ensure!(rows.len() == 2 && settled.topic.len().await? == 2, "something was published twice");
    Ok(())
}

const STREAMING: &str = "
    select pid from pg_stat_replication join pg_stat_activity using (pid)
    where datname = current_database() and pg_stat_replication.state = 'streaming'";
