//! A row that is too large to be read whole.

use anyhow::{Context, Result, ensure};
use outboxd_tests::scene::Scene;

use crate::parking::{expect_each_once, small, wait_letters};

/// It is passed over as it comes in, so that it takes no memory, and its value stays in the table.
#[tokio::test]
async fn a_row_above_max_row_bytes_is_parked_unread_with_its_followers() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = scene.relay().start().await?;
    small(&scene, 1, 20).await?;
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         values ('{}', 'order-3', 'Huge', jsonb_build_object('pad', repeat('x', {HUGE})))",
        scene.kind()
    );
    scene.database.execute(&sql).await?;
    small(&scene, 21, 40).await?;
    wait_letters(&scene, &[("dead", 1), ("parked", 2)]).await?;
    expect_each_once(&topic, 38).await?;
    let row = scene.database.query(HEAD).await?.pop().context("the head")?;
    let (kind, has_value, complete): (&str, bool, bool) = (row.get(0), row.get(1), row.get(2));
    ensure!((kind, has_value, complete) == ("record_too_large", false, false), "{row:?}");
    let peak = relay.peak_rss_bytes()?;
    println!("peak of the resident set: {} MiB", peak >> 20);
    ensure!(peak < HUGE, "{peak} bytes: the row was held in memory");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// Above the default of `source.max_row_bytes`, 64 MiB.
const HUGE: u64 = 70_000_000;
const HEAD: &str =
    "select kind, value is not null, complete from outbox.dead_letters where state = 'dead'";
