//! A Postgres server of either flavour. This file only dispatches.

mod options;

use std::{
    path::Path,
    time::{Duration, Instant},
};

pub(crate) use self::options::BASE_SETTINGS;
pub use self::options::{PgOptions, PgVersion, StopMode};
#[cfg(feature = "containers")]
use crate::containers::ContainerPostgres;
use crate::{Error, Flavour, Result, processes::postgres::ProcessPostgres};

/// A running server with the superuser `postgres`, who is trusted unless the options say otherwise.
#[derive(Debug)]
pub struct Postgres {
    version: PgVersion,
    server: Server,
}

/// Both variants have the same methods.
#[derive(Debug)]
enum Server {
    Process(ProcessPostgres),
    #[cfg(feature = "containers")]
    Container(ContainerPostgres),
}

/// Calls one method on whichever flavour of server there is.
macro_rules! dispatch {
    ($on:expr, $server:ident => $call:expr) => {
        match $on {
            Server::Process($server) => $call,
            #[cfg(feature = "containers")]
            Server::Container($server) => $call,
        }
    };
}

impl Postgres {
    pub async fn start(options: PgOptions) -> Result<Self> {
        Self::start_in(Flavour::choose().await?, options).await
    }

    pub async fn start_in(flavour: Flavour, options: PgOptions) -> Result<Self> {
        let version = options.version;
        let server = match flavour {
            Flavour::Processes => Server::Process(ProcessPostgres::start(options).await?),
            #[cfg(feature = "containers")]
            Flavour::Containers => Server::Container(ContainerPostgres::start(options).await?),
            #[cfg(not(feature = "containers"))]
            Flavour::Containers => return Err(Error::ContainersNotBuilt),
        };
        Ok(Self { version, server })
    }

    pub fn version(&self) -> PgVersion {
        self.version
    }

    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The same for the whole life of the sandbox, also across stops and starts.
    pub fn port(&self) -> u16 {
        dispatch!(&self.server, server => server.port())
    }

    /// Reaches `database` over TCP as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}:{}/{database}", self.host(), self.port())
    }

    /// Folder of the Unix socket; containers have none that the host can reach.
    pub fn socket_dir(&self) -> Option<&Path> {
        dispatch!(&self.server, server => server.socket_dir())
    }

    /// The data folder, where it lies on this machine.
    pub fn data_dir(&self) -> Option<&Path> {
        dispatch!(&self.server, server => server.data_dir())
    }

    /// Folder of the server's programs, where they lie on this machine. An installed Postgres has
    /// all of them, a fetched one only `initdb`, `pg_ctl` and `postgres`.
    pub fn bin_dir(&self) -> Option<&Path> {
        dispatch!(&self.server, server => server.bin_dir())
    }

    /// Everything the server has logged since the sandbox was made.
    pub async fn log(&self) -> Result<String> {
        dispatch!(&self.server, server => server.log().await)
    }

    pub async fn create_database(&self, name: &str) -> Result<()> {
        let failed = |source| Error::Sql { doing: format!("create database {name}"), source };
        let (client, connection) =
            tokio_postgres::connect(&self.url("postgres"), tokio_postgres::NoTls)
                .await
                .map_err(failed)?;
        let connection = tokio::spawn(connection);
        let quoted = name.replace('"', "\"\"");
        let created = client.batch_execute(&format!("create database \"{quoted}\"")).await;
        drop(client);
        connection.await.ok();
        created.map_err(failed)
    }

    /// Stops the server and waits until it is gone.
    pub async fn stop(&mut self, mode: StopMode) -> Result<()> {
        self.stop_within(mode, STOP_LIMIT).await.map(drop)
    }

    /// Stops the server; the time it took, or `Error::StillRunning` if it takes longer than
    /// `limit`. In that case it goes on stopping, and `stop` may be called again.
    pub async fn stop_within(&mut self, mode: StopMode, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        dispatch!(&mut self.server, server => server.stop(mode, limit).await)?;
        Ok(begun.elapsed())
    }

    /// Starts a stopped or killed server on its old data and port.
    pub async fn start_again(&mut self) -> Result<()> {
        dispatch!(&mut self.server, server => server.start_again().await)
    }

    /// Kills every process of the server at once, as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        dispatch!(&mut self.server, server => server.kill().await)
    }

    /// Suspends every process of the server; connections stay open and nothing answers.
    pub async fn freeze(&mut self) -> Result<()> {
        dispatch!(&mut self.server, server => server.freeze().await)
    }

    pub async fn thaw(&mut self) -> Result<()> {
        dispatch!(&mut self.server, server => server.thaw().await)
    }
}

/// Longer than any healthy stop, short enough that a test run does not hang on it.
const STOP_LIMIT: Duration = Duration::from_secs(60);
