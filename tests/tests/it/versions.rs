//! Every version of Postgres: an insert becomes a record, a restart repeats nothing.

use anyhow::{Result, ensure};
use outboxd_sandbox::PgVersion;
use outboxd_tests::checker;
use outboxd_tests::scene::Scene;
use outboxd_tests::truth;
use outboxd_tests::workload::Workload;

const PARTITIONS: i32 = 4;

#[tokio::test]
async fn postgres_14() -> Result<()> {
    smoke(PgVersion::V14).await
}

#[tokio::test]
async fn postgres_15() -> Result<()> {
    smoke(PgVersion::V15).await
}

#[tokio::test]
async fn postgres_16() -> Result<()> {
    smoke(PgVersion::V16).await
}

#[tokio::test]
async fn postgres_17() -> Result<()> {
    smoke(PgVersion::V17).await
}

#[tokio::test]
async fn postgres_18() -> Result<()> {
    smoke(PgVersion::V18).await
}

async fn smoke(version: PgVersion) -> Result<()> {
    let scene = Scene::on(version).await?;
    let topic = scene.topic(PARTITIONS).await?;
    let mut published = 0;
    for _ in 0..2 {
        let mut relay = scene.relay().start().await?;
        let workload = Workload { transactions: Some(20), ..Workload::new(scene.kind()) };
        workload.run(&scene.database).await?;
        let rows = truth::read(&scene.database, scene.kind()).await?;
        ensure!(rows.len() > published, "the workload wrote nothing");
        published = rows.len();
        topic.read_at_least(published).await?;
        ensure!(relay.terminate().await?.success());
        let records = topic.read_all().await?;
        checker::check(&rows, &records, PARTITIONS).expect_perfect()?;
    }
    if version >= PgVersion::V17 {
        let sql = format!(
            "select failover from pg_replication_slots where slot_name = '{}'",
            scene.database.slot()
        );
        ensure!(scene.database.query(&sql).await?[0].get::<_, bool>(0), "no failover slot");
    }
    Ok(())
}
