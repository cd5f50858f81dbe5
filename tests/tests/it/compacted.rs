//! A compacted topic keeps one record for each key, and takes none without: such an event is parked
//! alone, and whatever has a key flows.

use anyhow::{Result, ensure};
use outboxd_tests::scene::Scene;

use crate::parking::{expect_each_once, small, wait_letters};

/// Known from what the topic says of itself: nothing is sent that would be refused.
#[tokio::test]
async fn events_without_a_key_are_parked_each_alone() -> Result<()> {
    let scene = Scene::new().await?;
    let compacted = [("cleanup.policy", "compact")];
    let topic = scene.cluster.create_topic(&scene.topic_name(), 4, &compacted).await?;
    let mut relay = scene.relay().start().await?;
    small(&scene, 1, 20).await?;
    without_key(&scene).await?;
    small(&scene, 21, 40).await?;
    without_key(&scene).await?;
    small(&scene, 41, 60).await?;
    wait_letters(&scene, &[("dead", 2)]).await?;
    expect_each_once(&topic, 60).await?;
    let kinds = scene.database.query(KINDS).await?;
    let kinds: Vec<&str> = kinds.iter().map(|row| row.get(0)).collect();
    ensure!(kinds == ["invalid_key"], "parked as {kinds:?}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// The relay knows the topic as it was; the broker refuses the whole batch.
#[tokio::test]
async fn a_policy_changed_behind_the_relays_back_parks_the_event_without_a_key() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().expect_error("producer.failed").start().await?;
    small(&scene, 1, 100).await?;
    without_key(&scene).await?;
    topic.read_at_least(101).await?;
    scene.cluster.alter_topic(topic.name(), &[("cleanup.policy", "compact")]).await?;
    small(&scene, 101, 600).await?;
    without_key(&scene).await?;
    small(&scene, 601, 1_100).await?;
    wait_letters(&scene, &[("dead", 1)]).await?;
    expect_each_once(&topic, 1_101).await?;
    ensure!(relay.terminate().await?.success());
    Ok(())
}

async fn without_key(scene: &Scene) -> Result<()> {
    let insert = "insert into outbox.events (aggregatetype, type, payload)";
    scene.database.execute(&format!("{insert} values ('{}', 'T', '{{}}')", scene.kind())).await
}

const KINDS: &str = "select distinct kind from outbox.dead_letters where key is null";
