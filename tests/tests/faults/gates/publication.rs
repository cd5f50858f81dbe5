//! F10 made visible: rows inserted while a table is outside the publication never reach the slot.

use anyhow::{Result, ensure};
use outboxd_sandbox::PgVersion;
use outboxd_tests::scene::Scene;

use super::{Settled, insert};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_was_dropped_and_made_again_while_the_relay_was_down() -> Result<()> {
    let settled = Settled::new().await?;
    settled.execute("drop publication outboxd").await?;
    settled.insert().await?;
    settled.scene.database.publish("outbox.events").await?;
    settled.expect_stop(13, "publication").await
}

/// The server breaks the stream off at the next row, as long as there is no publication.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_dropped_while_streaming() -> Result<()> {
    dropped_while_streaming(PgVersion::V17).await
}

/// This server goes on without a publication and skips the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_dropped_while_streaming_from_a_server_that_skips_it() -> Result<()> {
    dropped_while_streaming(PgVersion::V18).await
}

async fn dropped_while_streaming(version: PgVersion) -> Result<()> {
    let scene = Scene::on(version).await?;
    let topic = scene.topic(4).await?;
    let mut relay = scene.relay().start().await?;
    insert(&scene.database, scene.kind()).await?;
    topic.read_at_least(1).await?;
    scene.database.execute("drop publication outboxd").await?;
    insert(&scene.database, scene.kind()).await?;
    relay.wait_stop(13, "publication").await?;
    // Made again, it does not bring the row back.
    scene.database.publish("outbox.events").await?;
    scene.relay().spawn()?.wait_stop(13, "publication").await.map(drop)
}

const TAKE_OUT: &str = "alter publication outboxd drop table outbox.events";
const PUT_BACK: &str = "alter publication outboxd add table outbox.events";
