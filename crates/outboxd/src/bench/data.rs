//! The backlogs that are drained.
//!
//! A slot made before the first row stays untouched; each run reads a copy of it, so that all of
//! them get the same bytes. Each backlog has a server of its own: logical decoding reads the whole
//! WAL, whoever wrote it.

use std::fmt;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use tokio_postgres::SimpleQueryMessage;

use super::server::Server;

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProfileName {
    /// 500,000 rows in transactions of 100
    P100,
    /// 100,000 rows in transactions of 1
    P1,
    /// 3,000,000 rows in transactions of 100
    Big,
    /// 1,000,000 rows in one transaction
    Tx1m,
}

/// How many rows, and how many of them in one transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Profile {
    pub(crate) name: ProfileName,
    pub(crate) rows: u64,
    pub(crate) per_transaction: u64,
}

/// A server with the rows of a profile.
pub(crate) struct Backlog {
    pub(crate) profile: Profile,
    pub(crate) server: Server,
    /// Where the last commit ends.
    pub(crate) end_lsn: String,
    copies: u32,
}

impl Profile {
    pub(crate) fn of(name: ProfileName, rows_scale: f64) -> Self {
        let (rows, per_transaction) = match name {
            ProfileName::P100 => (500_000.0, 100),
            ProfileName::P1 => (100_000.0, 1),
            ProfileName::Big => (3_000_000.0, 100),
            ProfileName::Tx1m => (1_000_000.0, u64::MAX),
        };
        let rows = ((rows * rows_scale) as u64).max(1);
        Self { name, rows, per_transaction: per_transaction.min(rows) }
    }
}

impl Backlog {
    pub(crate) async fn load(profile: Profile) -> anyhow::Result<Self> {
        eprintln!("bench: {}: writing {} rows", profile.name, profile.rows);
        let server = Server::start().await?;
        server.create_slot(BASE).await?;
        server.sql.batch_execute("set synchronous_commit = off").await?;
        let end_lsn = fill(&server, profile).await?;
        // Commits that nobody waited for reach the disk, and no page has to be written later.
        server.sql.batch_execute("checkpoint").await?;
        Ok(Self { profile, server, end_lsn, copies: 0 })
    }

    /// A slot from which everything is still to be read; its name was never used before.
    pub(crate) async fn copy_slot(&mut self) -> anyhow::Result<String> {
        self.copies += 1;
        let name = format!("{}_{}", self.profile.name, self.copies);
        let statement = "select pg_copy_logical_replication_slot($1::text::name, $2::text::name)";
        self.server.sql.execute(statement, &[&BASE, &name]).await?;
        Ok(name)
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P100 => "p100",
            Self::P1 => "p1",
            Self::Big => "big",
            Self::Tx1m => "tx1m",
        })
    }
}

/// Alone in its message, because a procedure may commit only outside of a transaction.
async fn fill(server: &Server, profile: Profile) -> anyhow::Result<String> {
    let Profile { rows, per_transaction, .. } = profile;
    let call = format!("call fill({rows}, {per_transaction}, null)");
    let answer = server.sql.simple_query(&call).await?;
    let end_lsn = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get("end_lsn"),
        _ => None,
    });
    Ok(end_lsn.context("fill gave no position")?.to_owned())
}

const BASE: &str = "base";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_backlog_has_transactions_of_the_same_size() {
        let of = |name, scale| {
            let profile = Profile::of(name, scale);
            (profile.rows, profile.per_transaction)
        };
        assert_eq!(of(ProfileName::P100, 1.0), (500_000, 100));
        assert_eq!(of(ProfileName::P100, 0.02), (10_000, 100));
        assert_eq!(of(ProfileName::P1, 0.1), (10_000, 1));
        assert_eq!(of(ProfileName::Tx1m, 0.5), (500_000, 500_000));
        assert_eq!(of(ProfileName::Big, 1e-9), (1, 1));
    }
}
