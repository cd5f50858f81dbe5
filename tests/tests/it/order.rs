//! What is committed is published once, in the order of its key, at the partition of its key; what
//! is rolled back is not.

use anyhow::{Result, ensure};
use outboxd_tests::checker;
use outboxd_tests::scene::Scene;
use outboxd_tests::truth;
use outboxd_tests::workload::Workload;

const PARTITIONS: i32 = 8;

#[tokio::test]
async fn eight_writers_over_eight_partitions() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(PARTITIONS).await?;
    let mut relay = scene.relay().start().await?;
    let workload = Workload { writers: 8, transactions: Some(150), ..Workload::new(scene.kind()) };
    let written = workload.run(&scene.database).await?;
    ensure!(written.committed > 500 && written.rolled_back > 100, "{written:?}");
    let rows = truth::read(&scene.database, scene.kind()).await?;
    topic.read_at_least(rows.len()).await?;
    ensure!(relay.terminate().await?.success());
    // Only now can nothing more come.
    let records = topic.read_all().await?;
    checker::check(&rows, &records, PARTITIONS).expect_perfect()
}
