//! A repair that does not come to its end leaves no relay streaming, and can be run again.

use anyhow::{Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::scene::unique;

use super::gap::{Gap, command};

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_its_middle_and_run_again() -> Result<()> {
    let gap = Gap::open().await?;
    gap.drop_slot().await?;
    gap.insert(21, 40).await?;
    let absent = unique("absent");
    let database = &gap.scene.database;
    let insert = "insert into outbox.events (aggregatetype, aggregateid, type, payload)";
    database.execute(&format!("{insert} values ('{absent}', 'a', 'T', '{{\"seq\": 1}}')")).await?;
    let published = gap.topic.len().await?;
    let planned = gap.repair(&["--dry-run"]).await?.expect(0)?;
    let missing = format!("outbox.event.{absent}");
    ensure!(planned["gap"]["missing_topics"][0] == missing.as_str(), "{planned}");

    // It waits for the topic, with the slot created and the rows before that one published.
    let mut repair = command(&gap.scene, &["repair", "--yes"]).spawn()?;
    repair.wait_event("repair.slot_created").await?;
    eventually("rows published again", || async {
        Ok((gap.topic.len().await? >= published + 30).then_some(()))
    })
    .await?;
    repair.kill().await?;
    ensure!(database.confirmed().await?.is_some(), "no slot was created");
    gap.scene.relay().spawn()?.wait_stop(10, "slot_moved").await?;
    gap.expect_stop("slot_moved").await?;

    // Nor does one that gives up.
    let mut repair = command(&gap.scene, &["repair", "--yes"]).spawn()?;
    repair.wait_stop(12, "unknown_topic").await?;
    let says = repair.lines().iter().any(|line| line.text.contains(&absent));
    ensure!(says, "the topic is not named");
    gap.scene.relay().spawn()?.wait_stop(10, "slot_moved").await?;

    let topic = gap.scene.cluster.create_topic(&missing, 1, &[]).await?;
    gap.repair(&["--yes"]).await?.expect(0)?;
    ensure!(topic.len().await? == 1, "the row of the absent topic is not there");
    gap.expect_stream().await?;
    // Three times the same thirty rows.
    gap.conclude_repeated(3).await
}
