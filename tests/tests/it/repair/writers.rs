//! Services write on while a gap is closed.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use outboxd_core::headers::Sequence;
use outboxd_core::lsn::Lsn;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;
use outboxd_tests::truth;
use outboxd_tests::workload::Workload;

use super::gap::{ask, is_replay};

/// The rows of the table end exactly where the slot begins: none is missing between them, and none
/// is both published from the table and sent by the new slot.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_the_table_end_where_the_slot_begins() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = scene.relay().start().await?;
    let writing = Workload::endless(scene.kind());
    let writing = writing.start(&scene.database).await?;
    topic.read_at_least(200).await?;
    ensure!(relay.terminate().await?.success());
    scene.database.wait_slot_inactive().await?;
    let drop_slot = format!("select pg_drop_replication_slot('{}')", scene.database.slot());
    scene.database.execute(&drop_slot).await?;

    let report = ask(&scene, &["repair", "--yes", "--json"]).await?.expect(0)?;
    let position: Lsn = report["position"].as_str().context("a position")?.parse()?;
    let relay = scene.relay().start().await?;
    let sent = usize::try_from(topic.len().await?)?;
    topic.read_at_least(sent + 200).await?;
    writing.stop().await?;
    let end = scene.database.wal_position().await?;
    scene.database.wait_confirmed(end).await?;
    drop(relay);

    let records = topic.read_all().await?;
    let ids = |wanted: &dyn Fn(&Record) -> bool| {
        let found = records.iter().filter(|it| wanted(it));
        found.filter_map(|it| it.header("id").map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    let from_table = ids(&is_replay);
    let is_after = |it: &Record| {
        let sequence: Option<Sequence> = it.header("sequence").and_then(|text| text.parse().ok());
        sequence.is_some_and(|sequence| sequence.at.commit_lsn >= position)
    };
    let from_slot = ids(&is_after);
    ensure!(!from_table.is_empty() && !from_slot.is_empty());
    let both = from_table.intersection(&from_slot).count();
    ensure!(both == 0, "{both} rows came from the table and from the slot");
    let published = ids(&|_| true);
    for row in truth::read(&scene.database, scene.kind()).await? {
        ensure!(published.contains(&row.id), "{row:?} is not in Kafka");
    }
    Ok(())
}
