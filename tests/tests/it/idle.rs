//! An outbox that is quiet while other tables are busy holds back no WAL.

use anyhow::{Result, ensure};
use outboxd_tests::scene::Scene;

#[tokio::test]
async fn the_position_follows_the_wal_of_other_tables() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    scene.database.execute("create table other (v text)").await?;
    let mut relay = scene.relay().start().await?;
    let before = scene.database.wal_position().await?;
    scene
        .database
        .execute(
            "alter table other alter column v set storage external;
             insert into other select repeat(md5(i::text), 400) from generate_series(1, 9000) i",
        )
        .await?;
    let after = scene.database.wal_position().await?;
    ensure!(after.as_u64() - before.as_u64() > 100_000_000, "{before} to {after} is too little");
    scene.database.wait_confirmed(after).await?;
    ensure!(relay.terminate().await?.success());

    // Nothing was skipped with it.
    scene
        .database
        .execute(&format!(
            "insert into outbox.events (aggregatetype, aggregateid, type)
             values ('{}', 'k', 'T')",
            scene.kind()
        ))
        .await?;
    let mut relay = scene.relay().start().await?;
    ensure!(topic.read_at_least(1).await?.len() == 1);
    ensure!(relay.terminate().await?.success());
    Ok(())
}
