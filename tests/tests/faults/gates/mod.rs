//! G8: no silent gap. Each stop of the gate is raised by its real cause.

mod progress;
mod publication;
mod restored;
mod slot;
mod standby;
mod topics;

use anyhow::{Result, ensure};
use outboxd_tests::database::Database;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Topic;

/// A scene whose relay has published something and has ended in order.
struct Settled {
    scene: Scene,
    topic: Topic,
}

impl Settled {
    async fn new() -> Result<Self> {
        let scene = Scene::new().await?;
        let topic = scene.topic(4).await?;
        let relay = scene.relay();
        publish_one(&scene.database, scene.kind(), &topic, &relay).await?;
        Ok(Self { scene, topic })
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        self.scene.database.execute(sql).await
    }

    async fn insert(&self) -> Result<()> {
        insert(&self.scene.database, self.scene.kind()).await
    }

    fn slot(&self) -> String {
        self.scene.database.slot()
    }

    /// The relay does not start: it ends with this exit code and names this cause.
    async fn expect_stop(&self, exit_code: i32, code: &str) -> Result<()> {
        self.scene.relay().spawn()?.wait_stop(exit_code, code).await.map(drop)
    }
}

/// Publishes one event and ends in order.
async fn publish_one(
    database: &Database,
    kind: &str,
    topic: &Topic,
    relay: &RelayCommand,
) -> Result<()> {
    let published = topic.len().await?;
    let mut relay = relay.start().await?;
    insert(database, kind).await?;
    topic.read_at_least(usize::try_from(published)? + 1).await?;
    let status = relay.terminate().await?;
    ensure!(status.success(), "the relay ended with {status}");
    database.wait_slot_inactive().await
}

async fn insert(database: &Database, kind: &str) -> Result<()> {
    let insert = "insert into outbox.events (aggregatetype, aggregateid, type, payload)";
    database.execute(&format!("{insert} values ('{kind}', 'one', 'Made', '{{\"seq\": 1}}')")).await
}
