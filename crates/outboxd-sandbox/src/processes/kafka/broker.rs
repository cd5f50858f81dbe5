//! One broker as a process, working in a folder of its own inside the cluster's.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time::{self, Instant};

use crate::{
    Error, KafkaTools, Result,
    host::{
        account::Account,
        process::{Process, Signal},
    },
    processes::kafka::{format::PROPERTIES, probe},
};

#[derive(Debug)]
pub(super) struct Broker {
    name: String,
    node: usize,
    port: u16,
    home: PathBuf,
    log: PathBuf,
    tools: KafkaTools,
    jvm_args: Vec<String>,
    /// None between a stop and the next start.
    process: Option<Process>,
}

impl Broker {
    pub(super) fn new(
        node: usize,
        port: u16,
        home: PathBuf,
        tools: &KafkaTools,
        jvm_args: &[String],
    ) -> Self {
        Self {
            name: format!("Kafka broker {node}"),
            node,
            port,
            log: home.join("log"),
            home,
            tools: tools.clone(),
            jvm_args: jvm_args.to_vec(),
            process: None,
        }
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(|process| u32::try_from(process.pid()).ok())
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(super) async fn log(&self) -> Result<String> {
        let log = tokio::fs::read(&self.log).await;
        let log = log.map_err(Error::io(format!("read the log of {}", self.name)))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Starts the process; it does not serve yet.
    pub(super) fn launch(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && process.ended()?.is_none()
        {
            return Err(Error::AlreadyRunning { server: self.name.clone() });
        }
        let command = self.command();
        let process = Process::start(self.name.clone(), command, Account::Own, &self.log)?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until the broker knows `live` brokers to be alive, itself among them.
    pub(super) async fn become_ready(&mut self, live: usize) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.running()?.ended()? {
                self.process = None;
                let server = self.name.clone();
                return Err(Error::EndedEarly { server, status, log: self.log().await? });
            }
            let seen = probe::live_brokers(self.port).await;
            let sees_itself = seen.iter().any(|&id| usize::try_from(id) == Ok(self.node));
            if sees_itself && seen.len() >= live {
                return Ok(());
            }
            if Instant::now() > deadline {
                let server = self.name.clone();
                return Err(Error::NotReady { server, limit: START_LIMIT, log: self.log().await? });
            }
            time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn stop(&mut self) -> Result<()> {
        self.running()?.stop(Signal::TERM, STOP_LIMIT).await?;
        self.process = None;
        Ok(())
    }

    pub(super) async fn kill(&mut self) -> Result<()> {
        self.running()?.kill().await?;
        self.process = None;
        Ok(())
    }

    pub(super) async fn freeze(&mut self) -> Result<()> {
        self.running()?.freeze().await.map(drop)
    }

    pub(super) fn thaw(&mut self) -> Result<()> {
        self.running()?.thaw()
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().ok_or_else(|| Error::NotRunning { server: self.name.clone() })
    }

    fn command(&self) -> Command {
        let mut jvm_args = self.jvm_args.clone();
        jvm_args.push(format!("-Dlog4j2.configurationFile={LOGGING}"));
        let mut command = self.tools.command(&jvm_args, "kafka.Kafka");
        command.arg(PROPERTIES).current_dir(&self.home);
        command
    }
}

/// Writes what every broker has beside its server.properties.
pub(super) fn write_logging(home: &Path) -> Result<()> {
    std::fs::write(home.join(LOGGING), include_str!("log4j2.xml"))
        .map_err(Error::io(format!("write {LOGGING}")))
}

const LOGGING: &str = "log4j2.xml";
/// Several Java machines starting at once on a machine busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(120);
/// A broker that hands its partitions over first, or waits for a quorum that is gone.
const STOP_LIMIT: Duration = Duration::from_secs(60);
