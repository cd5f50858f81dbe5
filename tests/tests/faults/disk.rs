//! The disk of a broker is full: nothing is acknowledged until there is room again.
//!
//! A small file system in memory stands in for the disk. To mount it takes the right to do so; a test
//! that lacks it fails.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::Brokers;
use outboxd_tests::patience::eventually;

use crate::mode::Mode;
use crate::stage::{Stage, grown};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_only_broker_is_waited_for() -> Result<()> {
    let mut stage = Stage::new(Brokers::One).await?;
    let disk = Disk::under(&mut stage).await?;
    let relay = stage.relay().start().await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 200).await?;
    disk.fill()?;
    eventually("a broker without room", || async {
        Ok(stage.kafka.log(1).await?.contains("No space left on device").then_some(()))
    })
    .await?;
    disk.empty()?;
    // It ends by itself when its only disk has failed, or is ended by whoever sees that.
    if let Err(ended) = stage.kafka.kill_broker(1).await {
        println!("{ended}");
    }
    stage.kafka.start_broker_again(1).await?;
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()
}

/// A file system of its own under a broker's data, gone with this value.
struct Disk {
    at: PathBuf,
}

impl Disk {
    async fn under(stage: &mut Stage) -> Result<Self> {
        let at = stage.kafka.data_dir(1).context("a broker of this machine")?;
        let former = at.with_extension("former");
        stage.kafka.stop_broker(1).await?;
        run(Command::new("mv").arg(&at).arg(&former))?;
        std::fs::create_dir(&at)?;
        let mount = ["-t", "tmpfs", "-o", SIZE, "tmpfs"];
        run(Command::new("mount").args(mount).arg(&at)).context("mounting takes the right to")?;
        let disk = Self { at };
        run(Command::new("cp").arg("-a").arg(former.join(".")).arg(&disk.at))?;
        stage.kafka.start_broker_again(1).await?;
        Ok(disk)
    }

    /// Writes until there is no room.
    fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        loop {
            match ballast.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(full) if full.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("fill the disk"),
            }
        }
    }

    fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        Path::new(&self.at).join("ballast")
    }
}

impl Drop for Disk {
    /// The broker may still have files open there.
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg("-l").arg(&self.at)) {
            println!("{error:#}");
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let said = command.output().with_context(|| format!("run {command:?}"))?;
    let errors = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{command:?} ended with {}: {errors}", said.status);
    Ok(())
}

/// Several times what the broker keeps at its start.
const SIZE: &str = "size=128m";
