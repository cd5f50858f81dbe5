//! What the machine may do to a relay: a full disk under its log, a clock that jumps, names that are
//! not resolved, and its own panic.

use anyhow::{Result, ensure};
use outboxd_tests::relay::{RelayCommand, RelayProcess};
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Topic;
use outboxd_tests::world::World;

use crate::kills::repeats_max;
use crate::mode::Mode;
use crate::stage::grown;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_costs_the_log_only() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    // Nothing it says can be waited for, so that its slot has to be there.
    scene.relay().start().await?.terminate().await?;
    let relay = scene.relay().log_to_full_disk().spawn()?;
    let writers = scene.load().await?;
    grown(&topic, 200).await?;
    // It has much to say about that.
    scene.database.terminate_walsenders().await?;
    grown(&topic, 200).await?;
    writers.stop().await?;
    conclude(&scene, &topic, relay).await
}

/// The clock of day is for stamps and logs. What is waited for is measured by one that only rises.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_is_only_seen_in_the_log() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut world = World::new()?;
    let relay = world.of(scene.relay()).start().await?;
    let mark = relay.mark();
    let writers = scene.load().await?;
    for shift_s in [DAY_S, -DAY_S, 3_600, 0] {
        println!("the clock is shifted by {shift_s} s");
        world.shift_clock(shift_s)?;
        grown(&topic, 500).await?;
    }
    writers.stop().await?;
    let lines = relay.lines();
    let lost = lines[mark..].iter().find(|line| line.event().starts_with("session."));
    ensure!(lost.is_none(), "a session was lost: {lost:?}");
    conclude(&scene, &topic, relay).await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_resolved_are_asked_for_again() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut world = World::new()?;
    let by_name = |address: &str| address.replace("127.0.0.1", "localhost");
    let (url, kafka) = (by_name(scene.database.url()), by_name(scene.cluster.bootstrap()));
    ensure!(url.contains("localhost") && kafka.contains("localhost"), "{url} and {kafka}");
    let relay = world.of(RelayCommand::run(&url, &kafka)).start().await?;
    let writers = scene.load().await?;
    grown(&topic, 200).await?;
    world.resolve_names(false)?;
    let mark = relay.mark();
    scene.database.terminate_walsenders().await?;
    // The first is the end of the session, the next what comes of opening another one.
    relay.wait_event_after(mark, "session.lost").await?;
    let refusal = relay.wait_event_after(relay.mark(), "session.lost").await?;
    ensure!(refusal.text.contains("localhost"), "it does not say which: {}", refusal.text);
    world.resolve_names(true)?;
    relay.wait_event_after(mark, "slot.streaming").await?;
    grown(&topic, 200).await?;
    writers.stop().await?;
    conclude(&scene, &topic, relay).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_named_and_ends_the_process() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = scene.relay().set("delivery.max_unrecorded_events", "500");
    command.start().await?.terminate().await?;
    let writers = scene.load().await?;
    let dead = command.clone().expect_error("panic").die_at("acked:300:panic").await?;
    let lines = dead.lines();
    let said = lines.iter().find(|line| line.event() == "panic");
    ensure!(said.is_some(), "it says nothing: {:?}", lines.last());
    let relay = command.start().await?;
    let allowed = repeats_max(&relay).await?;
    grown(&topic, 200).await?;
    writers.stop().await?;
    let verdict = Mode::AtLeastOnce.conclude(&scene.database, &topic, scene.kind(), relay).await?;
    verdict.expect_repeats_up_to(allowed)
}

async fn conclude(scene: &Scene, topic: &Topic, relay: RelayProcess) -> Result<()> {
    let verdict = Mode::AtLeastOnce.conclude(&scene.database, topic, scene.kind(), relay).await?;
    verdict.expect_perfect()
}

const DAY_S: i64 = 86_400;
