//! One writer: transaction after transaction, each with its own way to write and to end.

use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Result, bail};
use futures_util::SinkExt;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

use super::{Workload, Written};
use crate::database::connect;
use crate::patience::eventually;
use crate::random::Random;

pub(super) struct Writer {
    workload: Arc<Workload>,
    number: u64,
    random: Random,
    written: Written,
}

impl Writer {
    pub(super) fn new(workload: Arc<Workload>, number: u64, random: Random) -> Self {
        Self { workload, number, random, written: Written::default() }
    }

    pub(super) async fn write(
        mut self,
        url: String,
        stop: watch::Receiver<bool>,
    ) -> Result<Written> {
        let mut client = connect(&url).await?;
        let mut left = self.workload.transactions.unwrap_or(u64::MAX);
        while left > 0 && !*stop.borrow() {
            match self.transaction(&client).await {
                Ok(()) => {
                    left -= 1;
                    sleep(self.workload.pause).await;
                }
                Err(error) if client.is_closed() || error.is_closed() || is_shutdown(&error) => {
                    self.written.unknown += 1;
                    client = self.reconnect(&url).await?;
                }
                Err(error) => bail!("writer {}: {error:?}", self.number),
            }
        }
        Ok(self.written)
    }

    async fn reconnect(&self, url: &str) -> Result<Client> {
        let prefix = self.prefix();
        eventually("a writer connected again", || async {
            let Ok(client) = connect(url).await else { return Ok(None) };
            Ok(forget_prepared(&client, &prefix).await.is_ok().then_some(client))
        })
        .await
    }

    async fn transaction(&mut self, client: &Client) -> Result<(), Error> {
        client.batch_execute("begin").await?;
        let mut keys: Vec<u64> =
            (0..1 + self.random.below(3)).map(|_| self.random.below(self.workload.keys)).collect();
        // Locks are taken in one order, so that no two writers wait for each other.
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.rows_in_savepoint(client, &format!("key-{}", key + 1)).await?;
        }
        self.end(client).await
    }

    async fn rows_in_savepoint(&mut self, client: &Client, key: &str) -> Result<(), Error> {
        match self.random.below(100) {
            0..15 => {
                client.batch_execute("savepoint s").await?;
                self.rows(client, key).await?;
                client.batch_execute("rollback to savepoint s").await?;
                self.rows(client, key).await
            }
            15..25 => {
                client.batch_execute("savepoint s").await?;
                self.rows(client, key).await?;
                client.batch_execute("release savepoint s").await
            }
            _ => self.rows(client, key).await,
        }
    }

    async fn rows(&mut self, client: &Client, key: &str) -> Result<(), Error> {
        let count = 1 + self.random.below(4).cast_signed();
        let pad = self.pad();
        if self.random.percent(20) {
            return self.copy(client, key, count, &pad).await;
        }
        client.execute(INSERT, &[&key, &count, &self.workload.kind, &pad]).await.map(drop)
    }

    async fn copy(&self, client: &Client, key: &str, count: i64, pad: &str) -> Result<(), Error> {
        let last: i64 = client.query_one(NEXT, &[&key, &count]).await?.get(0);
        let mut lines = String::new();
        for seq in last - count + 1..=last {
            let id = Uuid::new_v4();
            let kind = &self.workload.kind;
            let payload =
                format!(r#"{{"key": "{key}", "seq": {seq}, "id": "{id}", "pad": "{pad}"}}"#);
            let _ = writeln!(lines, "{id}\t{kind}\t{key}\tCopied\t{payload}");
        }
        let mut sink = pin!(client.copy_in(COPY).await?);
        sink.send(bytes::Bytes::from(lines)).await?;
        sink.finish().await.map(drop)
    }

    async fn end(&mut self, client: &Client) -> Result<(), Error> {
        let name = format!("{}{}", self.prefix(), Uuid::new_v4());
        let (committed, statements) = match self.random.below(100) {
            0..70 => (true, vec!["commit".to_owned()]),
            70..84 => (false, vec!["rollback".to_owned()]),
            84..93 => (true, prepared(&name, "commit")),
            _ => (false, prepared(&name, "rollback")),
        };
        for statement in statements {
            client.batch_execute(&statement).await?;
        }
        let count =
            if committed { &mut self.written.committed } else { &mut self.written.rolled_back };
        *count += 1;
        Ok(())
    }

    /// Sizes from 10 bytes up, each order of magnitude as likely as another.
    fn pad(&mut self) -> String {
        let orders = (self.workload.payload_max.max(10) as f64 / 10.0).log10();
        let share = self.random.below(1_000_000) as f64 / 1e6;
        let length = (10.0 * 10_f64.powf(share * orders)) as usize;
        "x".repeat(length)
    }

    fn prefix(&self) -> String {
        format!("{}-{}-", self.workload.kind, self.number)
    }
}

/// Rolls back what a broken connection left prepared, so that it holds no lock for ever.
pub(super) async fn forget_prepared(client: &Client, prefix: &str) -> Result<(), Error> {
    let sql = "select gid from pg_prepared_xacts \
               where database = current_database() and starts_with(gid, $1)";
    for row in client.query(sql, &[&prefix]).await? {
        let name: String = row.get(0);
        client.batch_execute(&format!("rollback prepared '{name}'")).await?;
    }
    Ok(())
}

fn prepared(name: &str, end: &str) -> Vec<String> {
    vec![format!("prepare transaction '{name}'"), format!("{end} prepared '{name}'")]
}

/// The server said good-bye before it closed the connection.
fn is_shutdown(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("57P"))
}

const INSERT: &str = "
    with next as (update aggregate set seq = seq + $2 where key = $1 returning seq - $2 as base),
    events as (
        select gen_random_uuid() as id, base + i as seq from next, generate_series(1, $2) i order by i
    )
    insert into outbox.events (id, aggregatetype, aggregateid, type, payload)
    select id, $3, $1, 'Inserted', jsonb_build_object('key', $1, 'seq', seq, 'id', id, 'pad', $4::text)
    from events order by seq";
const NEXT: &str = "update aggregate set seq = seq + $2 where key = $1 returning seq";
const COPY: &str = "copy outbox.events (id, aggregatetype, aggregateid, type, payload) from stdin";
