//! Servers end with the process that started them, even if that process cannot say good-bye.

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use outboxd_sandbox::{Kafka, KafkaOptions, PgOptions, Postgres};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    time::{Duration, sleep, timeout},
};

/// Set in the process that starts servers in order to be killed.
const VICTIM: &str = "OUTBOXD_SMOKE_VICTIM";
const MARK: &str = "servers at ";

#[tokio::test]
async fn a_killed_process_leaves_no_server_behind() -> Result<()> {
    if env::var_os(VICTIM).is_some() {
        return start_and_wait().await;
    }
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", "death::a_killed_process_leaves_no_server_behind", "--nocapture"]);
    command.env(VICTIM, "yes").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut victim = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(victim.stdout.take().context("stdout is piped")?).lines();
    let addresses = loop {
        let line = lines.next_line().await?.context("the victim ended by itself")?;
        if let Some((_, addresses)) = line.split_once(MARK) {
            break addresses.to_owned();
        }
    };
    for address in addresses.split(' ') {
        TcpStream::connect(address).await.with_context(|| format!("{address} before the kill"))?;
    }
    victim.kill().await?;
    for address in addresses.split(' ') {
        let gone = async {
            while TcpStream::connect(address).await.is_ok() {
                sleep(PAUSE).await
            }
        };
        timeout(crate::DEADLINE, gone).await.with_context(|| format!("{address} still accepts"))?;
    }
    Ok(())
}

/// Ends only by a kill, or when the test that waits for it is gone itself.
async fn start_and_wait() -> Result<()> {
    let postgres = Postgres::start(PgOptions::default()).await?;
    let kafka = Kafka::start(KafkaOptions::default()).await?;
    println!("{MARK}{}:{} {}", postgres.host(), postgres.port(), kafka.bootstrap());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

const PAUSE: Duration = Duration::from_millis(50);
