//! All brokers lose power at once, and come back without the last of what they had acknowledged.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::Brokers;
use outboxd_tests::workload::Workload;
use tokio::process::Command;

use crate::stage::Stage;

/// Progress is there, and older than what the slot has confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_have_lost_the_last_records() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    publish(&stage).await?;
    let copy = copy_data(&mut stage).await?;
    publish(&stage).await?;
    put_back(&mut stage, &copy).await?;
    expect_stop(&stage, "slot_moved").await
}

/// They do not know the relay any more.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_have_lost_all_progress() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let copy = copy_data(&mut stage).await?;
    publish(&stage).await?;
    put_back(&mut stage, &copy).await?;
    expect_stop(&stage, "progress_lost").await
}

/// A relay publishes something, confirms it, and ends in order.
async fn publish(stage: &Stage) -> Result<()> {
    let mut relay = stage.relay().start().await?;
    let load = Workload { transactions: Some(20), ..Workload::new(stage.kind()) };
    load.run(&stage.database).await?;
    stage.database.wait_confirmed(stage.database.wal_position().await?).await?;
    ensure!(relay.terminate().await?.success(), "the relay did not end in order");
    stage.database.wait_slot_inactive().await
}

/// Nothing is published behind the gap, however often the relay is started.
async fn expect_stop(stage: &Stage, code: &str) -> Result<()> {
    let left = stage.topic.len().await?;
    for _ in 0..2 {
        stage.relay().spawn()?.wait_stop(10, code).await?;
    }
    ensure!(stage.topic.len().await? == left, "events behind the gap were published");
    Ok(())
}

async fn copy_data(stage: &mut Stage) -> Result<PathBuf> {
    let data = stage.kafka.data_dir(1).context("a broker of this machine")?;
    let copy = data.with_extension("copy");
    stage.kafka.stop_broker(1).await?;
    shell(&["cp", "-a"], &data, &copy).await?;
    stage.kafka.start_broker_again(1).await?;
    Ok(copy)
}

async fn put_back(stage: &mut Stage, copy: &Path) -> Result<()> {
    let data = stage.kafka.data_dir(1).context("a broker of this machine")?;
    stage.kafka.kill_broker(1).await?;
    shell(&["mv"], &data, &data.with_extension("lost")).await?;
    shell(&["mv"], copy, &data).await?;
    Ok(stage.kafka.start_broker_again(1).await?)
}

async fn shell(command: &[&str], from: &Path, to: &Path) -> Result<()> {
    let (program, args) = command.split_first().context("a program")?;
    let status = Command::new(program).args(args).arg(from).arg(to).status().await?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
