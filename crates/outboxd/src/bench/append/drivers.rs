//! The drivers, each with its own way to remember a statement.

use std::time::Duration;

use deadpool_postgres::{Manager, Pool};
use outboxd_client::outbox::{Outbox, PreparedOutbox};
use sqlx::{Connection as _, PgConnection};
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use super::super::server::connect;
use super::{AGGREGATE_TYPE, EVENT_TYPE, Order, TABLE, timed};

/// How a service is connected.
pub(super) trait Driver: Sized {
    const NAME: &'static str;

    async fn open(url: &str) -> anyhow::Result<Self>;

    /// An append, in a transaction.
    async fn append(&mut self, outbox: &Outbox, order: &Order) -> anyhow::Result<Duration>;

    /// The same row by hand, in a transaction.
    async fn bare(&mut self, order: &Order, payload: &str) -> anyhow::Result<Duration>;
}

/// tokio-postgres without anything prepared for the append.
pub(super) struct Plain {
    client: Client,
    bare: Statement,
}

impl Driver for Plain {
    const NAME: &'static str = "tokio-postgres";

    async fn open(url: &str) -> anyhow::Result<Self> {
        let client = connect(url).await?;
        client.batch_execute(ASYNCHRONOUS).await?;
        let bare = client.prepare(BARE).await?;
        Ok(Self { client, bare })
    }

    async fn append(&mut self, outbox: &Outbox, order: &Order) -> anyhow::Result<Duration> {
        let mut transaction = self.client.transaction().await?;
        let time =
            timed(async { Ok(outbox.append(&mut transaction, order.event()?).await?) }).await?;
        transaction.commit().await?;
        Ok(time)
    }

    async fn bare(&mut self, order: &Order, payload: &str) -> anyhow::Result<Duration> {
        let transaction = self.client.transaction().await?;
        let time = timed(insert(&transaction, &self.bare, order, payload)).await?;
        transaction.commit().await?;
        Ok(time)
    }
}

/// tokio-postgres with what [`Outbox::prepare`] gives.
pub(super) struct Prepared {
    plain: Plain,
    outbox: PreparedOutbox,
}

impl Driver for Prepared {
    const NAME: &'static str = "tokio-postgres, prepared";

    async fn open(url: &str) -> anyhow::Result<Self> {
        let plain = Plain::open(url).await?;
        let outbox = Outbox::new().table(TABLE)?.prepare(&plain.client).await?;
        Ok(Self { plain, outbox })
    }

    async fn append(&mut self, _: &Outbox, order: &Order) -> anyhow::Result<Duration> {
        let mut transaction = self.plain.client.transaction().await?;
        let outbox = &self.outbox;
        let time =
            timed(async { Ok(outbox.append(&mut transaction, order.event()?).await?) }).await?;
        transaction.commit().await?;
        Ok(time)
    }

    async fn bare(&mut self, order: &Order, payload: &str) -> anyhow::Result<Duration> {
        self.plain.bare(order, payload).await
    }
}

pub(super) struct Deadpool(deadpool_postgres::Client);

impl Driver for Deadpool {
    const NAME: &'static str = "deadpool-postgres";

    async fn open(url: &str) -> anyhow::Result<Self> {
        let pool = Pool::builder(Manager::new(url.parse()?, NoTls)).max_size(1).build()?;
        let client = pool.get().await?;
        client.batch_execute(ASYNCHRONOUS).await?;
        Ok(Self(client))
    }

    async fn append(&mut self, outbox: &Outbox, order: &Order) -> anyhow::Result<Duration> {
        let mut transaction = self.0.transaction().await?;
        let time =
            timed(async { Ok(outbox.append(&mut transaction, order.event()?).await?) }).await?;
        transaction.commit().await?;
        Ok(time)
    }

    async fn bare(&mut self, order: &Order, payload: &str) -> anyhow::Result<Duration> {
        let transaction = self.0.transaction().await?;
        let statement = transaction.prepare_cached(BARE).await?;
        let time = timed(insert(&transaction, &statement, order, payload)).await?;
        transaction.commit().await?;
        Ok(time)
    }
}

pub(super) struct Sqlx(PgConnection);

impl Driver for Sqlx {
    const NAME: &'static str = "sqlx";

    async fn open(url: &str) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(ASYNCHRONOUS).execute(&mut connection).await?;
        Ok(Self(connection))
    }

    async fn append(&mut self, outbox: &Outbox, order: &Order) -> anyhow::Result<Duration> {
        let mut transaction = self.0.begin().await?;
        let time =
            timed(async { Ok(outbox.append(&mut transaction, order.event()?).await?) }).await?;
        transaction.commit().await?;
        Ok(time)
    }

    async fn bare(&mut self, order: &Order, payload: &str) -> anyhow::Result<Duration> {
        let mut transaction = self.0.begin().await?;
        let time = timed(async {
            let insert = sqlx::query(BARE).bind(Uuid::now_v7()).bind(AGGREGATE_TYPE);
            let insert = insert.bind(&order.customer).bind(EVENT_TYPE).bind(payload).bind("{}");
            Ok(insert.execute(&mut *transaction).await?)
        })
        .await?;
        transaction.commit().await?;
        Ok(time)
    }
}

async fn insert(
    transaction: &tokio_postgres::Transaction<'_>,
    statement: &Statement,
    order: &Order,
    payload: &str,
) -> anyhow::Result<u64> {
    let id = Uuid::now_v7();
    Ok(transaction
        .execute(statement, &[&id, &AGGREGATE_TYPE, &order.customer, &EVENT_TYPE, &payload, &"{}"])
        .await?)
}

/// Waiting for the disk is not counted, and would only take time.
const ASYNCHRONOUS: &str = "set synchronous_commit = off";
const BARE: &str = "insert into services.events \
                    (id, aggregatetype, aggregateid, type, payload, headers) \
                    values ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb)";
