//! One Postgres server as a process of this machine, in a guarded folder of its own.

mod archive;
mod binaries;
mod cluster;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time::{self, Instant};

use self::binaries::Binaries;
use crate::{
    Error, PgOptions, Result, StopMode,
    host::{
        account::Account,
        folder::Folder,
        port::Port,
        process::{Process, Signal},
    },
};

#[derive(Debug)]
pub(crate) struct ProcessPostgres {
    name: String,
    binaries: Binaries,
    /// None between a stop and the next start.
    process: Option<Process>,
    port: Port,
    data: PathBuf,
    log: PathBuf,
    // Last, so that it is dropped last: its guard ends the processes.
    folder: Folder,
}

impl ProcessPostgres {
    pub(crate) async fn start(options: PgOptions) -> Result<Self> {
        let binaries = Binaries::of(options.version).await?;
        let folder = Folder::create(Account::unprivileged())?;
        let data = cluster::create(&folder, &binaries, &options).await?;
        let mut server = Self {
            name: format!("PostgreSQL {}", options.version),
            binaries,
            process: None,
            port: Port::reserve()?,
            data,
            log: folder.path().join("log"),
            folder,
        };
        // The port was free a moment ago; should a stranger have taken it since, another will do.
        for _ in 1..PORT_ATTEMPTS {
            match server.start_again().await {
                Err(Error::EndedEarly { log, .. }) if log.contains(ADDRESS_IN_USE) => {
                    server.port = Port::reserve()?;
                }
                started => return started.map(|()| server),
            }
        }
        server.start_again().await.map(|()| server)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    #[expect(clippy::unnecessary_wraps, reason = "same signature as in a container")]
    pub(crate) fn socket_dir(&self) -> Option<&Path> {
        Some(self.folder.path())
    }

    #[expect(clippy::unnecessary_wraps, reason = "same signature as in a container")]
    pub(crate) fn data_dir(&self) -> Option<&Path> {
        Some(&self.data)
    }

    #[expect(clippy::unnecessary_wraps, reason = "same signature as in a container")]
    pub(crate) fn bin_dir(&self) -> Option<&Path> {
        Some(self.binaries.folder())
    }

    pub(crate) async fn log(&self) -> Result<String> {
        let log = tokio::fs::read(&self.log).await;
        let log = log.map_err(Error::io(format!("read the log of {}", self.name)))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    pub(crate) async fn stop(&mut self, mode: StopMode, limit: Duration) -> Result<()> {
        let signal = match mode {
            StopMode::Smart => Signal::TERM,
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        self.running()?.stop(signal, limit).await?;
        self.process = None;
        Ok(())
    }

    pub(crate) async fn start_again(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && process.ended()?.is_none()
        {
            return Err(Error::AlreadyRunning { server: self.name.clone() });
        }
        let mut command = Command::new(self.binaries.program("postgres"));
        command.arg("-D").arg(&self.data).current_dir(&self.data);
        command.arg("-k").arg(self.folder.path()).args(["-p", &self.port().to_string()]);
        let account = self.folder.account();
        let process = Process::start(self.name.clone(), command, account, &self.log)?;
        self.process = Some(process);
        self.become_ready().await
    }

    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.running()?.kill().await?;
        self.process = None;
        Ok(())
    }

    pub(crate) async fn freeze(&mut self) -> Result<()> {
        self.running()?.freeze().await.map(drop)
    }

    #[expect(clippy::unused_async, reason = "same signature as in a container")]
    pub(crate) async fn thaw(&mut self) -> Result<()> {
        self.running()?.thaw()
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().ok_or_else(|| Error::NotRunning { server: self.name.clone() })
    }

    /// Waits until the server says that it accepts connections.
    async fn become_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let process = self.running()?;
            let pid = process.pid();
            if let Some(status) = process.ended()? {
                self.process = None;
                let server = self.name.clone();
                return Err(Error::EndedEarly { server, status, log: self.log().await? });
            }
            if says_ready(&self.data, pid) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let server = self.name.clone();
                return Err(Error::NotReady { server, limit: START_LIMIT, log: self.log().await? });
            }
            time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The server keeps its state in postmaster.pid: line 1 is its process id, which tells it from a
/// file left by a crash, line 8 the state, with a word of its own for a server that follows a
/// primary. No login is needed, so any pg_hba.conf will do.
fn says_ready(data: &Path, pid: i32) -> bool {
    let Ok(state) = fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let mut lines = state.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str())
        && matches!(lines.nth(6), Some("ready" | "standby"))
}

/// A recovery from a large log included, on a machine busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(120);
const PORT_ATTEMPTS: usize = 3;
const ADDRESS_IN_USE: &str = "Address already in use";
