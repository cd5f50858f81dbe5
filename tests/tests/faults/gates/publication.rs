//! F10 made visible: rows inserted while a table is outside the publication never reach the slot.

use anyhow::{Result, ensure};

use super::Settled;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_taken_out_and_put_back_while_the_relay_was_down() -> Result<()> {
    let settled = Settled::new().await?;
    settled.execute(TAKE_OUT).await?;
    settled.expect_stop(13, "publication").await?;
    settled.insert().await?;
    settled.execute(PUT_BACK).await?;
    settled.expect_stop(13, "publication").await?;
    let mut relay = settled.scene.relay().arg("--accept-publication").start().await?;
    ensure!(relay.terminate().await?.success(), "an orderly end");
    // What was accepted is recorded.
    settled.scene.relay().start().await?.terminate().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_taken_out_and_put_back_while_streaming() -> Result<()> {
    let settled = Settled::new().await?;
    let mut relay = settled.scene.relay().start().await?;
    settled.execute(TAKE_OUT).await?;
    settled.execute(PUT_BACK).await?;
    relay.wait_stop(13, "publication").await?;
    settled.expect_stop(13, "publication").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_was_dropped() -> Result<()> {
    let settled = Settled::new().await?;
    settled.execute("drop publication outboxd").await?;
    settled.expect_stop(13, "publication").await
}

const TAKE_OUT: &str = "alter publication outboxd drop table outbox.events";
const PUT_BACK: &str = "alter publication outboxd add table outbox.events";
