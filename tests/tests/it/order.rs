//! What is committed is published once, in the order of its key, at the partition of its key; what
//! is rolled back is not.

use anyhow::{Result, ensure};
use outboxd_tests::checker;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;
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

#[tokio::test]
async fn a_prepared_transaction_counts_when_it_is_committed() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().start().await?;
    let insert = |value: u32| {
        format!(
            "insert into outbox.events (aggregatetype, aggregateid, type, payload)
             values ('{}', 'k', 'T', '{value}');",
            scene.kind()
        )
    };
    let (kept, dropped) = (format!("{}-kept", scene.kind()), format!("{}-dropped", scene.kind()));
    for sql in [
        format!("begin; {} {} prepare transaction '{kept}'", insert(2), insert(3)),
        format!("begin; {} prepare transaction '{dropped}'", insert(99)),
        insert(1),
        format!("commit prepared '{kept}'"),
        format!("rollback prepared '{dropped}'"),
        insert(4),
    ] {
        scene.database.execute(&sql).await?;
    }
    topic.read_at_least(4).await?;
    ensure!(relay.terminate().await?.success());
    let values: Vec<_> = topic.read_all().await?.iter().map(Record::value_text).collect();
    ensure!(values == ["1", "2", "3", "4"], "{values:?}");
    Ok(())
}
