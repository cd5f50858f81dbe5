//! All that was measured, as text and as JSON.

use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::crash::{self, Crash};
use super::drain::{self, Drain};
use super::kafka::{self, IntoKafka};
use super::latency::{self, Round};
use super::machine::Machine;
use super::server::Server;
use super::takeover::{self, TakeOver};
use super::wal::{self, Wal};

#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) drain: Vec<Drain>,
    pub(crate) kafka: Vec<IntoKafka>,
    pub(crate) latency: Vec<Round>,
    pub(crate) crash: Vec<Crash>,
    pub(crate) take_over: Vec<TakeOver>,
    pub(crate) wal: Vec<Wal>,
    /// Runs that were wrong.
    pub(crate) faults: Vec<String>,
}

impl Results {
    pub(crate) fn new() -> Self {
        Self {
            machine: Machine::look(),
            drain: Vec::new(),
            kafka: Vec::new(),
            latency: Vec::new(),
            crash: Vec::new(),
            take_over: Vec::new(),
            wal: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(crate) async fn look_at(&mut self, server: &Server) -> anyhow::Result<()> {
        if !self.machine.has_postgres() {
            self.machine.set_postgres(server.version().await?);
        }
        Ok(())
    }

    /// An error if any run was wrong.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.faults.is_empty(), "runs were wrong:\n{}", self.faults.join("\n"));
        Ok(())
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if !self.drain.is_empty() {
            writeln!(f, "{}", drain::table(&self.drain))?;
            if !self.drain.iter().any(Drain::is_compared) {
                writeln!(f, "No pg_recvlogical to compare with: install postgresql-15\n")?;
            }
        }
        if !self.kafka.is_empty() {
            writeln!(f, "{}", kafka::table(&self.kafka))?;
        }
        if !self.latency.is_empty() {
            for table in latency::tables(&self.latency) {
                writeln!(f, "{table}")?;
            }
        }
        if !self.crash.is_empty() {
            writeln!(f, "{}", crash::table(&self.crash))?;
        }
        if !self.take_over.is_empty() {
            writeln!(f, "{}", takeover::table(&self.take_over))?;
        }
        if !self.wal.is_empty() {
            writeln!(f, "{}", wal::table(&self.wal))?;
        }
        Ok(())
    }
}
