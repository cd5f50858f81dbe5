//! `slot status` and `slot repair`: each gap is named, and closed from the table on demand.
//!
//! After a repair every committed row is in Kafka; what came from the table is marked, and what the
//! stream sends afterwards is not.

mod dead_letters;
mod gap;
mod interrupted;
mod kinds;
mod servers;
mod writers;

use anyhow::{Result, ensure};

use self::gap::Gap;

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_slot() -> Result<()> {
    let gap = Gap::open().await?;
    gap.drop_slot().await?;
    gap.insert(21, 40).await?;
    gap.scene.relay().spawn()?.wait_stop(10, "slot_missing").await?;
    gap.expect_stop("slot_missing").await?;
    let before = gap.state().await?;

    let planned = gap.repair(&["--dry-run"]).await?.expect(0)?;
    ensure!(planned["outcome"] == "planned" && planned["gap"]["code"] == "slot_missing");
    // The rows of yesterday were written before the safe time.
    ensure!(planned["gap"]["rows"]["rows"] == 30, "{planned}");
    ensure!(planned["gap"]["rows"]["topics"][gap.topic.name()] == 30, "{planned}");
    ensure!(
        planned["gap"]["slot_action"] == "create" && planned["gap"]["since_basis"] == "last_commit"
    );
    gap.repair(&[]).await?.expect(2)?;
    ensure!(gap.state().await? == before, "a plan has changed something");

    let repaired = gap.repair(&["--yes"]).await?.expect(0)?;
    ensure!(repaired["outcome"] == "repaired" && repaired["gap"]["rows"]["rows"] == 30);
    gap.expect_stream().await?;
    ensure!(gap.repair(&["--yes"]).await?.expect(0)?["outcome"] == "nothing_to_repair");
    gap.conclude(30).await
}

#[tokio::test(flavor = "multi_thread")]
async fn since_when_is_for_the_operator_to_say() -> Result<()> {
    let gap = Gap::open().await?;
    gap.drop_slot().await?;
    gap.insert(21, 40).await?;
    let rows = |json: &serde_json::Value| json["gap"]["rows"]["rows"].clone();
    let all = gap.repair(&["--dry-run", "--since", "3d"]).await?.expect(0)?;
    ensure!(rows(&all) == 40 && all["gap"]["since_basis"] == "asked", "{all}");
    let none = gap.repair(&["--dry-run", "--since", "2999-01-01T00:00:00Z"]).await?.expect(0)?;
    ensure!(rows(&none) == 0, "{none}");
    gap.repair(&["--yes", "--since", "3d"]).await?.expect(0)?;
    gap.conclude(40).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_made_again() -> Result<()> {
    let gap = Gap::open().await?;
    gap.drop_slot().await?;
    gap.insert(21, 40).await?;
    gap.create_slot("pgoutput").await?;
    gap.scene.relay().spawn()?.wait_stop(10, "slot_moved").await?;
    gap.expect_stop("slot_moved").await?;
    let before = gap.state().await?;
    let planned = gap.repair(&["--dry-run"]).await?.expect(0)?;
    ensure!(planned["gap"]["slot_action"] == "replace", "{planned}");
    ensure!(gap.state().await? == before, "a plan has changed something");
    gap.repair(&["--yes"]).await?.expect(0)?;
    gap.expect_stream().await?;
    gap.conclude(30).await
}

/// The slot still holds the log: it is kept, and what it sends again comes unmarked.
#[tokio::test(flavor = "multi_thread")]
async fn a_progress_topic_that_was_deleted() -> Result<()> {
    let gap = Gap::open().await?;
    gap.scene.cluster.delete_topic(&gap.progress_topic()).await?;
    gap.insert(21, 40).await?;
    gap.scene.relay().spawn()?.wait_stop(10, "progress_lost").await?;
    gap.expect_stop("progress_lost").await?;
    let confirmed = gap.scene.database.confirmed().await?;
    let planned = gap.repair(&["--dry-run"]).await?.expect(0)?;
    ensure!(planned["gap"]["slot_action"] == "keep" && planned["gap"]["rows"]["rows"] == 40);
    gap.expect_stop("progress_lost").await?;
    gap.repair(&["--yes"]).await?.expect(0)?;
    ensure!(gap.scene.database.confirmed().await? == confirmed, "the slot was touched");
    gap.expect_stream().await?;
    gap.conclude(40).await
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_relay_nothing_is_repaired() -> Result<()> {
    let gap = Gap::open().await?;
    let mut relay = gap.scene.relay().start().await?;
    let status = gap.status().await?.expect(0)?;
    ensure!(status["active"] == true && status["verdict"]["would"] == "stream", "{status}");
    ensure!(status["details"]["active_pid"].is_i64(), "{status}");
    let published = gap.topic.len().await?;
    for order in ["--yes", "--dry-run"] {
        let refused = gap.repair(&[order]).await?;
        ensure!(refused.code == Some(11) && refused.reports("slot_in_use"), "{refused:?}");
    }
    ensure!(relay.is_running()? && gap.topic.len().await? == published);
    ensure!(relay.terminate().await?.success());
    gap.expect_stream().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_gap_is_left_alone() -> Result<()> {
    let gap = Gap::open().await?;
    let status = gap.status().await?.expect(0)?;
    ensure!(status["active"] == false && status["details"]["plugin"] == "pgoutput", "{status}");
    ensure!(status["recorded"]["end_lsn"] == status["verdict"]["from"], "{status}");
    let before = gap.state().await?;
    let report = gap.repair(&["--yes"]).await?.expect(0)?;
    ensure!(report["outcome"] == "nothing_to_repair" && gap.state().await? == before);

    // Somebody else's slot under our name.
    gap.drop_slot().await?;
    gap.create_slot("test_decoding").await?;
    gap.expect_stop("slot_unusable").await?;
    let refused = gap.repair(&["--yes"]).await?;
    ensure!(refused.code == Some(13) && refused.reports("slot_unusable"), "{refused:?}");
    let plugin = "select plugin::text from pg_replication_slots where slot_name = ";
    let rows = gap.scene.database.query(&format!("{plugin}'{}'", gap.slot())).await?;
    ensure!(rows[0].get::<_, &str>(0) == "test_decoding", "a foreign slot was replaced");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_is_no_gap() -> Result<()> {
    let scene = outboxd_tests::scene::Scene::new().await?;
    let status = gap::ask(&scene, &["status", "--json"]).await?.expect(3)?;
    ensure!(status["verdict"]["code"] == "slot_missing" && status["recorded"].is_null());
    let refused = gap::ask(&scene, &["repair", "--yes", "--json"]).await?;
    ensure!(refused.code == Some(10) && refused.reports("slot_missing"), "{refused:?}");
    ensure!(scene.database.confirmed().await?.is_none(), "a slot was created");
    Ok(())
}
