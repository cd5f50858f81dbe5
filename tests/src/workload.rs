//! Writers that commit, roll back, use savepoints, COPY and two-phase commits, beside each other.
//!
//! Each transaction takes the next numbers of its keys under a lock on them, so that the numbers of
//! a key follow the order of commits, whatever the ids and the clocks say.

mod transaction;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::transaction::Writer;
use crate::database::{Database, connect};
use crate::patience::eventually;
use crate::random::Random;

#[derive(Clone, Debug)]
pub struct Workload {
    /// The aggregate type of all its rows.
    pub kind: String,
    pub keys: u64,
    /// Connections that write at the same time.
    pub writers: u64,
    /// Of each writer; without a number until told to stop.
    pub transactions: Option<u64>,
    /// Sizes are spread evenly over the orders of magnitude up to this.
    pub payload_max: u64,
    /// Of each writer between two transactions.
    pub pause: Duration,
    pub seed: u64,
}

/// What the writers believe. The truth is in the table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub committed: u64,
    pub rolled_back: u64,
    /// The connection broke before the answer.
    pub unknown: u64,
}

/// Writers at work.
#[derive(Debug)]
pub struct Running {
    writers: JoinSet<Result<Written>>,
    stop: watch::Sender<bool>,
    url: String,
}

impl Workload {
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            keys: 40,
            writers: 4,
            transactions: Some(100),
            payload_max: 2_000,
            pause: Duration::ZERO,
            seed: 1,
        }
    }

    /// Writes until told to stop: small rows, because it comes to much, and some hundred in a second,
    /// which leaves the machine to what is tested, and to the servers that are started again.
    pub fn endless(kind: &str) -> Self {
        let pause = Duration::from_millis(30);
        Self { transactions: None, payload_max: 500, pause, ..Self::new(kind) }
    }

    /// Runs to the end.
    pub async fn run(&self, database: &Database) -> Result<Written> {
        self.start(database).await?.join().await
    }

    /// Starts the writers. They outlive broken connections.
    pub async fn start(&self, database: &Database) -> Result<Running> {
        database
            .execute(&format!(
                "create table if not exists aggregate (key text primary key, seq bigint not null);
                 insert into aggregate select 'key-' || i, 0 from generate_series(1, {}) i
                 on conflict do nothing",
                self.keys
            ))
            .await?;
        println!("seed of the workload: {}", self.seed);
        let (stop, stopped) = watch::channel(false);
        let mut writers = JoinSet::new();
        let workload = Arc::new(self.clone());
        let mut seeds = Random::new(self.seed);
        for number in 0..self.writers {
            let random = Random::new(seeds.draw());
            let writer = Writer::new(Arc::clone(&workload), number, random);
            writers.spawn(writer.write(database.url().to_owned(), stopped.clone()));
        }
        Ok(Running { writers, stop, url: database.url().to_owned() })
    }
}

impl Running {
    /// Lets each writer end its transaction, then [`Self::join`].
    pub async fn stop(self) -> Result<Written> {
        self.stop.send_replace(true);
        self.join().await
    }

    /// Waits for all of them. Afterwards no transaction of theirs is left prepared.
    pub async fn join(mut self) -> Result<Written> {
        let mut total = Written::default();
        while let Some(ended) = self.writers.join_next().await {
            let written = ended??;
            total.committed += written.committed;
            total.rolled_back += written.rolled_back;
            total.unknown += written.unknown;
        }
        let client =
            eventually("connected", || async { Ok(connect(&self.url).await.ok()) }).await?;
        transaction::forget_prepared(&client, "").await?;
        Ok(total)
    }
}
