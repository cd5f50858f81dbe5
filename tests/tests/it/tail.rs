//! What was read along with what had to wait is published though nothing more comes from the server.

use anyhow::{Result, ensure};
use outboxd_tests::scene::Scene;

/// The server answers each report of a position, and says something by itself every five minutes: no
/// position is reported here.
#[tokio::test]
async fn the_last_rows_need_no_traffic_behind_them() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let relay = scene
        .relay()
        .set("delivery.max_in_flight_events", "10")
        .set("delivery.progress_interval", "10min")
        .set("source.wal_sender_timeout", "10min");
    let mut relay = relay.start().await?;
    // Many at once: they come in one piece.
    scene
        .database
        .execute(&format!(
            "insert into outbox.events (aggregatetype, aggregateid, type)
             select '{}', 'k', 'T' from generate_series(1, {ROWS})",
            scene.kind()
        ))
        .await?;
    topic.read_at_least(ROWS).await?;
    ensure!(relay.terminate().await?.success());
    Ok(())
}

const ROWS: usize = 100;
