//! The relay has the outbox rotate its leaves, and nothing that comes of it holds the stream up.

use anyhow::{Result, ensure};
use outboxd_tests::log::Line;
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::RelayProcess;
use outboxd_tests::scene::Scene;

#[tokio::test]
async fn the_active_relay_has_leaves_truncated_on_schedule() -> Result<()> {
    let scene = Scene::new().await?;
    prepare(&scene, TRUNCATING).await?;
    let command = scene.relay().set("retention.rotate_every", "1s");
    let mut relay = command.start().await?;
    let standby = command.spawn()?;
    standby.wait_event("relay.standby").await?;
    let line = relay.wait_event("retention.rotated").await?;
    ensure!(line.text.contains("truncated") && line.text.contains("events_3"), "{line:?}");
    calls(&scene, 3).await?;
    ensure!(relay.lines().iter().any(|line| line.text.contains("not confirmed")), "reasons");
    ensure!(standby.lines().iter().all(|line| line.event() != "retention.rotated"));
    ensure!(relay.terminate().await?.success());
    // Its successor goes on with it.
    standby.wait_event("retention.rotated").await?;
    Ok(())
}

#[tokio::test]
async fn what_fails_is_told_once_and_tried_again() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().set("retention.rotate_every", "1s").start().await?;
    let missing = relay.wait_event("retention.failed").await?;
    ensure!(missing.text.contains("42883") && missing.text.contains("migrate up"), "{missing:?}");

    prepare(&scene, REFUSING).await?;
    calls(&scene, 3).await?;
    let refused = failures(&relay).iter().filter(|it| it.text.contains("P0001")).count();
    ensure!(refused == 1, "{refused} lines on at least three calls");

    // It is given up after five seconds; meanwhile events flow.
    let mark = relay.mark();
    prepare(&scene, HANGING).await?;
    let hanging = "select from pg_stat_activity where query like '%rotate()%'
                   and datname = current_database() and state = 'active' and pid <> pg_backend_pid()";
    eventually("a call that hangs", || async {
        Ok((!scene.database.query(hanging).await?.is_empty()).then_some(()))
    })
    .await?;
    scene.database.execute(&insert(&scene)).await?;
    topic.read_at_least(1).await?;
    ensure!(relay.lines()[mark..].iter().all(|it| !it.text.contains("57014")), "it ended before");
    let given_up = relay.wait_event_after(mark, "retention.failed").await?;
    ensure!(given_up.text.contains("57014"), "{given_up:?}");

    prepare(&scene, TRUNCATING).await?;
    relay.wait_event("retention.rotated").await?;
    ensure!(relay.lines().iter().all(|it| it.event() != "session.lost"), "a session was lost");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// A stand-in for the function of the rotating outbox, of its form.
async fn prepare(scene: &Scene, body: &str) -> Result<()> {
    let sql = format!(
        "create sequence if not exists outbox.calls;
         create or replace function outbox.rotate(force boolean default false)
             returns table (action text, leaf text, reason text) language plpgsql as
         $$ begin perform nextval('outbox.calls'); {body} end $$"
    );
    scene.database.execute(&sql).await
}

/// Waits for so many more calls; a sequence counts those that are rolled back, too.
async fn calls(scene: &Scene, more: i64) -> Result<()> {
    let count = || async {
        let rows = scene.database.query("select last_value from outbox.calls").await?;
        anyhow::Ok(rows[0].get::<_, i64>(0))
    };
    let target = count().await? + more;
    eventually("calls", || async { Ok((count().await? >= target).then_some(())) }).await
}

fn failures(relay: &RelayProcess) -> Vec<Line> {
    let mut lines = relay.lines();
    lines.retain(|line| line.event() == "retention.failed");
    lines
}

fn insert(scene: &Scene) -> String {
    format!(
        "insert into outbox.events (aggregatetype, aggregateid, type) values ('{}', 'k', 'T')",
        scene.kind()
    )
}

const TRUNCATING: &str = "
    return query values ('truncated', 'events_3', null), ('kept', 'events_4', 'not confirmed');";
const REFUSING: &str = "raise exception 'not today';";
const HANGING: &str = "perform pg_sleep(60);";
