//! A database with an outbox in it.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use outboxd_core::lsn::Lsn;
use outboxd_sandbox::Postgres;
use tokio_postgres::{Client, NoTls, Row};

use crate::patience::eventually;

/// A database of its own, with one connection open. The slot has its default name.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    client: Client,
}

impl Database {
    /// An empty one.
    pub async fn create(server: &Postgres, name: &str) -> Result<Self> {
        server.create_database(name).await?;
        Self::open(server, name).await
    }

    pub async fn open(server: &Postgres, name: &str) -> Result<Self> {
        let url = server.url(name);
        Ok(Self { name: name.to_owned(), client: connect(&url).await?, url })
    }

    /// The table as `outboxd setup` makes it, and its publication. The relay creates the slot. The
    /// limits on what a row may hold are left out: tests write what the relay has to refuse.
    pub async fn create_outbox(&self) -> Result<()> {
        self.execute(SCHEMA).await?;
        self.execute(EVENTS).await?;
        self.execute(DEAD_LETTERS).await?;
        self.publish("outbox.events").await
    }

    /// The publication, of these tables.
    pub async fn publish(&self, tables: &str) -> Result<()> {
        let with = "(publish = 'insert', publish_via_partition_root = true)";
        self.execute(&format!("create publication outboxd for table {tables} with {with}")).await
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its server listens.
    pub fn address(&self) -> Result<SocketAddr> {
        let (_, rest) = self.url.split_once('@').context("a user in the url")?;
        let (address, _) = rest.split_once('/').context("a database in the url")?;
        Ok(address.parse()?)
    }

    pub fn slot(&self) -> String {
        format!("outboxd_{}", self.name)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One more connection, for writers beside each other.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }

    /// Statements without parameters; several at once are one transaction.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.with_context(|| format!("execute {sql:.200}"))
    }

    pub async fn query(&self, sql: &str) -> Result<Vec<Row>> {
        self.client.query(sql, &[]).await.with_context(|| format!("query {sql:.200}"))
    }

    /// Ends the sessions that stream from here; how many there were.
    pub async fn terminate_walsenders(&self) -> Result<usize> {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
                    where backend_type = 'walsender' and datname = current_database()";
        Ok(self.query(sql).await?.len())
    }

    pub async fn wal_position(&self) -> Result<Lsn> {
        let row = self.client.query_one("select pg_current_wal_lsn()::text", &[]).await?;
        Ok(row.get::<_, &str>(0).parse()?)
    }

    /// What the relay's slot has confirmed; `None` when there is no slot.
    pub async fn confirmed(&self) -> Result<Option<Lsn>> {
        let sql = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
        let row = self.client.query_opt(sql, &[&self.slot()]).await?;
        let text = row.and_then(|row| row.get::<_, Option<String>>(0));
        Ok(text.map(|text| text.parse()).transpose()?)
    }

    /// Waits until the slot has confirmed that position.
    pub async fn wait_confirmed(&self, position: Lsn) -> Result<()> {
        let confirmed = eventually(&format!("{position} confirmed"), || async move {
            Ok(self.confirmed().await?.is_some_and(|lsn| lsn >= position).then_some(()))
        })
        .await;
        let Err(error) = confirmed else { return Ok(()) };
        let senders = self.query(SENDERS).await?;
        let senders: Vec<&str> = senders.iter().map(|row| row.get(0)).collect();
        Err(error.context(format!("what streams: {senders:?}")))
    }

    /// Waits until nobody streams from the slot.
    pub async fn wait_slot_inactive(&self) -> Result<()> {
        let sql = "select not active from pg_replication_slots where slot_name = $1";
        eventually("slot inactive", || async move {
            let row = self.client.query_opt(sql, &[&self.slot()]).await?;
            Ok(row.is_some_and(|row| row.get(0)).then_some(()))
        })
        .await
    }
}

/// Connects as the superuser; the connection ends with the client.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connect")?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whether the server has sent all it has, and who answers.
const SENDERS: &str = "
    select concat_ws(' ', s, 'now', clock_timestamp(), 'wal', pg_current_wal_insert_lsn(),
                     'written', pg_current_wal_lsn(), 'flushed', pg_current_wal_flush_lsn())
      from pg_stat_replication s";
const SCHEMA: &str = include_str!("../../migrations/outbox/0001_schema.sql");
const EVENTS: &str = include_str!("../../migrations/outbox/plain/0001_events.sql");
const DEAD_LETTERS: &str = include_str!("../../migrations/dead_letters/0001_dead_letters.sql");
