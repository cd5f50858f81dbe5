//! The Postgres servers of the benchmark.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use outboxd_sandbox::{Flavour, PgOptions, PgVersion, Postgres};
use serde::Serialize;
use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::proc;

/// A fresh server with the table, the publication and a session to look after it.
pub(crate) struct Server {
    // Before the server: it goes first.
    pub(crate) sql: Client,
    pub(crate) postgres: Postgres,
}

/// How the stream is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

/// The process in Postgres that serves a slot's reader.
pub(crate) struct Walsender<'a> {
    server: &'a Server,
    slot: &'a str,
    pid: Option<u32>,
    cpu: Duration,
}

impl Server {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let settings = SETTINGS.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let options = PgOptions { settings: settings.collect(), ..PgOptions::of(version()) };
        let postgres = Postgres::start_in(Flavour::Processes, options).await?;
        let sql = connect(&postgres.url(DATABASE)).await?;
        sql.batch_execute(include_str!("data.sql")).await?;
        Ok(Self { sql, postgres })
    }

    pub(crate) fn url(&self, transport: Transport) -> anyhow::Result<String> {
        Ok(match transport {
            Transport::Tcp => self.postgres.url(DATABASE),
            Transport::Unix => {
                let folder = self.host(transport)?.replace('/', "%2F");
                format!("postgres://postgres@{folder}:{}/{DATABASE}", self.postgres.port())
            }
        })
    }

    /// As libpq's programs want it.
    pub(crate) fn host(&self, transport: Transport) -> anyhow::Result<String> {
        match transport {
            Transport::Tcp => Ok(self.postgres.host().to_owned()),
            Transport::Unix => {
                let folder = self.postgres.socket_dir().context("there is no Unix socket")?;
                Ok(folder.to_string_lossy().into_owned())
            }
        }
    }

    /// `None`: this Postgres came without it.
    pub(crate) fn pg_recvlogical(&self) -> Option<PathBuf> {
        let program = self.postgres.bin_dir()?.join(PG_RECVLOGICAL);
        program.is_file().then_some(program)
    }

    pub(crate) async fn create_slot(&self, name: &str) -> anyhow::Result<()> {
        let statement = "select pg_create_logical_replication_slot($1::text::name, 'pgoutput')";
        self.sql.execute(statement, &[&name]).await?;
        Ok(())
    }

    /// A slot whose reader has just left is busy for a moment.
    pub(crate) async fn drop_slot(&self, name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + SLOT_BUSY_LIMIT;
        loop {
            let dropped = self.sql.execute("select pg_drop_replication_slot($1)", &[&name]).await;
            match dropped {
                Err(error)
                    if error.code() == Some(&SqlState::OBJECT_IN_USE)
                        && Instant::now() < deadline =>
                {
                    sleep(LOOK_INTERVAL).await;
                }
                dropped => return Ok(dropped.map(drop)?),
            }
        }
    }

    pub(crate) async fn is_confirmed(&self, slot: &str, end_lsn: &str) -> anyhow::Result<bool> {
        let question = "select confirmed_flush_lsn >= $2::text::pg_lsn from pg_replication_slots \
                        where slot_name = $1";
        Ok(self.sql.query_one(question, &[&slot, &end_lsn]).await?.get(0))
    }

    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let row = self.sql.query_one("select current_setting('server_version')", &[]).await?;
        Ok(row.get(0))
    }

    async fn reader(&self, slot: &str) -> anyhow::Result<Option<u32>> {
        let question = "select active_pid from pg_replication_slots where slot_name = $1";
        let pid: Option<i32> = self.sql.query_one(question, &[&slot]).await?.get(0);
        Ok(pid.and_then(|pid| u32::try_from(pid).ok()))
    }
}

impl<'a> Walsender<'a> {
    pub(crate) fn of(server: &'a Server, slot: &'a str) -> Self {
        Self { server, slot, pid: None, cpu: Duration::ZERO }
    }

    /// What the reader of the slot cost so far. Its process may be gone at the next look, so the
    /// last one that found it counts.
    pub(crate) async fn cpu(&mut self) -> anyhow::Result<Duration> {
        if self.pid.is_none() {
            self.pid = self.server.reader(self.slot).await?;
        }
        if let Some(cpu) = self.pid.and_then(proc::cpu) {
            self.cpu = cpu;
        }
        Ok(self.cpu)
    }

    /// `None`: it was not there yet.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }
}

pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// An installed version that brings pg_recvlogical, first the one that other relays were measured
/// on; else the one that the sandbox prefers.
fn version() -> PgVersion {
    let order = [PgVersion::V15, PgVersion::V17, PgVersion::V18, PgVersion::V16, PgVersion::V14];
    let complete = |version: &PgVersion| {
        let folder = Path::new("/usr/lib/postgresql").join(version.to_string()).join("bin");
        ["postgres", PG_RECVLOGICAL].iter().all(|program| folder.join(program).is_file())
    };
    order.into_iter().find(complete).unwrap_or(PgVersion::V17)
}

pub(crate) const PUBLICATION: &str = "bench";
pub(crate) const TABLE: &str = "public.outbox";
pub(crate) const DATABASE: &str = "postgres";
/// How often a state is looked at that nobody announces.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const PG_RECVLOGICAL: &str = "pg_recvlogical";
const SLOT_BUSY_LIMIT: Duration = Duration::from_secs(20);

/// Enough room that neither checkpoints nor vacuum fall into a measurement.
const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("autovacuum", "off"),
];
