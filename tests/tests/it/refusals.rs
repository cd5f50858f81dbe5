//! Events that Kafka does not take, when the relay is told to halt: it stops at the first and names
//! it, and goes on from there once the reason is gone.

use anyhow::{Result, ensure};
use outboxd_tests::checker;
use outboxd_tests::log::Line;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::truth;

#[tokio::test]
async fn a_record_that_is_too_large_is_named_and_waits_for_a_higher_limit() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = halting(&scene).start().await?;
    scene.database.execute(&rows(&scene, "order-1", 1, 10)).await?;
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select '{}', 'order-1', 'Huge', jsonb_build_object('seq', 11, 'pad', repeat('x', 5000000))
         returning id::text",
        scene.kind()
    );
    let id: String = scene.database.query(&sql).await?[0].get(0);
    scene.database.execute(&rows(&scene, "order-1", 12, 20)).await?;

    let lines = relay.wait_stop(12, "record_too_large").await?;
    ensure_named(&lines, &[&id, "order-1", topic.name()])?;
    let before = topic.read_all().await?;
    ensure!(before.len() == 10, "{} records, not all or more than those before", before.len());

    scene.cluster.alter_topic(topic.name(), &[("max.message.bytes", "8000000")]).await?;
    let mut relay = halting(&scene).start().await?;
    topic.read_at_least(20).await?;
    ensure!(relay.terminate().await?.success());
    let truth = truth::read(&scene.database, scene.kind()).await?;
    checker::check(&truth, &topic.read_all().await?, 4).expect_perfect()
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_waited_for_and_then_named() -> Result<()> {
    let scene = Scene::new().await?;
    let mut relay = halting(&scene).start().await?;
    scene.database.execute(&rows(&scene, "order-1", 1, 3)).await?;
    relay.wait_event("topic.unavailable").await?;
    let lines = relay.wait_stop(12, "unknown_topic").await?;
    ensure_named(&lines, &["order-1", &scene.topic_name()])?;

    let topic = scene.topic(4).await?;
    let mut relay = halting(&scene).start().await?;
    topic.read_at_least(3).await?;
    ensure!(relay.terminate().await?.success());
    let truth = truth::read(&scene.database, scene.kind()).await?;
    checker::check(&truth, &topic.read_all().await?, 4).expect_perfect()
}

#[tokio::test]
async fn a_topic_that_comes_late_is_used_without_a_stop() -> Result<()> {
    let scene = Scene::new().await?;
    let mut relay = halting(&scene).start().await?;
    scene.database.execute(&rows(&scene, "order-1", 1, 3)).await?;
    relay.wait_event("topic.unavailable").await?;
    let topic = scene.topic(4).await?;
    topic.read_at_least(3).await?;
    ensure!(relay.terminate().await?.success());
    Ok(())
}

fn halting(scene: &Scene) -> RelayCommand {
    scene.relay().set("errors.on_record_error", "halt")
}

/// The report names all of these.
fn ensure_named(lines: &[Line], words: &[&str]) -> Result<()> {
    let report: Vec<&str> = lines
        .iter()
        .map(|line| line.text.as_str())
        .filter(|text| ["error[", "detail: ", "hint: "].iter().any(|it| text.starts_with(it)))
        .collect();
    let report = report.join("\n");
    for word in words {
        ensure!(report.contains(word), "{word} is not in\n{report}");
    }
    Ok(())
}

fn rows(scene: &Scene, key: &str, from: u32, to: u32) -> String {
    format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select '{}', '{key}', 'T', jsonb_build_object('seq', i) from generate_series({from}, {to}) i",
        scene.kind()
    )
}
