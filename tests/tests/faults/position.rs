//! G7: at any instant, what lies before the slot's confirmed position is in Kafka.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outboxd_core::lsn::Lsn;
use outboxd_tests::random::Random;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;
use outboxd_tests::workload::Workload;
use tokio::time::sleep;

use crate::mode::Mode;
use crate::oracle::Oracle;
use crate::stage::grown;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_before_the_confirmed_position_is_missing() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let oracle = Oracle::new(&scene.database).await?;
    let relay = scene.relay().start().await?;
    let workload = Workload { payload_max: 200, ..Workload::endless(scene.kind()) };
    let writers = workload.start(&scene.database).await?;
    let seed = u64::from(std::process::id());
    println!("seed of the freezes: {seed}");
    let mut random = Random::new(seed);
    let mut seen: Vec<(Lsn, Vec<Record>)> = Vec::new();
    for _ in 0..FREEZES {
        grown(&topic, 50).await?;
        // A moment anywhere between two progress records.
        sleep(Duration::from_micros(random.below(100_000))).await;
        relay.freeze().await?;
        let confirmed = scene.database.confirmed().await?.context("no slot")?;
        seen.push((confirmed, topic.read_all().await?));
        relay.thaw()?;
    }
    writers.stop().await?;
    let commits = oracle.read().await?;
    for (confirmed, records) in &seen {
        commits.expect_published(*confirmed, records)?;
    }
    let passed: Vec<usize> = seen.iter().map(|(confirmed, _)| commits.up_to(*confirmed)).collect();
    println!("events before the confirmed position, at each freeze: {passed:?}");
    ensure!(passed.first() < passed.last(), "the position stood still: {passed:?}");
    Mode::AtLeastOnce.conclude(&scene.database, &topic, scene.kind(), relay).await?.expect_perfect()
}

const FREEZES: usize = 12;
