//! Nothing is left when a test dies: this test starts itself a second time as a victim that starts
//! servers, kills the victim in the way that leaves it no last word, and looks for what remains.

use std::{env, fs, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{Flavour, Kafka, KafkaOptions, PgOptions, Postgres};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::look::{eventually, is_gone};

#[tokio::test]
async fn servers_and_folders_do_not_survive_a_killed_test() -> Result<()> {
    if env::var_os(VICTIM).is_some() {
        return be_the_victim().await;
    }
    let mut victim = Command::new(env::current_exe()?)
        .args([
            "--exact",
            "orphans::servers_and_folders_do_not_survive_a_killed_test",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(victim.stdout.take().context("stdout")?).lines();
    let (mut pids, mut folders) = (Vec::new(), Vec::new());
    while let Some(line) = lines.next_line().await? {
        match line.split_once('=') {
            Some(("pid", pid)) => pids.push(pid.to_owned()),
            Some(("folder", folder)) => folders.push(folder.to_owned()),
            Some(("ready", _)) => break,
            _ => {}
        }
    }
    ensure!(pids.len() > 3 && folders.len() == 2, "the victim told {pids:?} {folders:?}");
    ensure!(!pids.iter().any(|pid| is_gone(pid)), "servers end before their time");

    victim.kill().await?;
    for pid in &pids {
        eventually(&format!("process {pid} is gone"), || is_gone(pid)).await?;
    }
    for folder in &folders {
        eventually(&format!("{folder} is gone"), || !Path::new(folder).exists()).await?;
    }
    Ok(())
}

/// Starts one server of each kind, tells about them, and waits to be killed. Postgres is frozen,
/// so that none of its processes can notice anything by itself.
async fn be_the_victim() -> Result<()> {
    let kafka = Kafka::start_in(Flavour::Processes, KafkaOptions::default()).await?;
    let mut pg = Postgres::start_in(Flavour::Processes, PgOptions::default()).await?;
    pg.freeze().await?;

    let broker = kafka.broker_pid(1).context("running")?.to_string();
    let home = fs::read_link(Path::new("/proc").join(&broker).join("cwd"))?;
    println!("\npid={broker}");
    println!("folder={}", home.parent().context("parent")?.display());
    let data = pg.data_dir().context("data folder")?;
    let postmaster = fs::read_to_string(data.join("postmaster.pid"))?;
    let postmaster = postmaster.lines().next().context("an id")?;
    println!("pid={postmaster}");
    for child in children(postmaster)? {
        println!("pid={child}");
    }
    println!("folder={}", pg.socket_dir().context("folder")?.display());
    println!("ready=");
    std::future::pending().await
}

fn children(parent: &str) -> Result<Vec<String>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        // A process may end between listing and reading.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        if fields.split(' ').nth(1) == Some(parent) {
            children.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(children)
}

const VICTIM: &str = "OUTBOXD_SANDBOX_TEST_VICTIM";
