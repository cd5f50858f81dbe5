//! A relay that is given too little to work with says so, and spoils nothing.

use anyhow::{Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::RelayProcess;
use outboxd_tests::scene::Scene;
use outboxd_tests::workload::Workload;

use crate::mode::Mode;

/// From too few to start at all to nearly enough: it works, or it names what it lacks.
#[tokio::test(flavor = "multi_thread")]
async fn too_few_file_descriptors_are_named_and_spoil_nothing() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let command = scene.relay().set("delivery.max_unrecorded_events", &UNRECORDED.to_string());
    command.start().await?.terminate().await?;
    Workload::new(scene.kind()).run(&scene.database).await?;
    let mut named = 0;
    for limit in LIMITS {
        let scarce = command.clone().arg("--once").open_files_max(limit);
        let expected = ["internal", "config", "producer.failed"];
        let scarce = expected.iter().fold(scarce, |command, code| command.expect_error(code));
        let mut relay = scarce.spawn()?;
        eventually("an end, or a reason", || {
            let is_over = relay.is_running().map(|runs| !runs);
            let is_named = names_the_lack(&relay);
            async move { Ok((is_named || is_over?).then_some(())) }
        })
        .await?;
        if relay.is_running()? {
            relay.kill().await?;
        }
        let status = relay.wait().await?;
        let is_named = names_the_lack(&relay);
        println!("{limit} file descriptors: {status}, named: {is_named}");
        ensure!(status.success() || is_named, "with {limit}: {status} without a reason");
        named += u64::from(is_named);
    }
    ensure!(named > 0, "all these limits are enough");
    let relay = command.start().await?;
    let verdict = Mode::AtLeastOnce.conclude(&scene.database, &topic, scene.kind(), relay).await?;
    verdict.expect_repeats_up_to(UNRECORDED * LIMITS.len() as u64)
}

fn names_the_lack(relay: &RelayProcess) -> bool {
    relay.lines().iter().any(|line| line.text.contains("Too many open files"))
}

const LIMITS: [u32; 5] = [8, 20, 32, 40, 48];
const UNRECORDED: u64 = 100;
