//! The outboxes that must behave alike.

use anyhow::Result;
use deadpool_postgres::{Manager, Pool};
use outboxd_client::outbox::{
    AppendError, Event, EventId, Outbox, OutboxTransaction, PreparedOutbox,
};
use outboxd_client::testing::{Appended, MemoryOutbox, MemoryTransaction, appended};
use outboxd_sandbox::PgVersion;
use outboxd_tests::database::{Database, connect};
use outboxd_tests::scene::unique;
use outboxd_tests::servers;
use sqlx::{Acquire as _, Connection as _, PgConnection, Postgres};
use tokio_postgres::{Client, NoTls};

/// An outbox of its own for each test.
pub(crate) trait Backend: Sized + 'static {
    type Transaction<'a>: OutboxTransaction
    where
        Self: 'a;

    async fn open() -> Result<Self>;
    async fn begin(&mut self) -> Result<Self::Transaction<'_>>;
    async fn commit(transaction: Self::Transaction<'_>) -> Result<()>;
    async fn rollback(transaction: Self::Transaction<'_>) -> Result<()>;
    async fn savepoint<'a>(
        transaction: &'a mut Self::Transaction<'_>,
    ) -> Result<Self::Transaction<'a>>;

    /// `None`: the outbox itself.
    fn prepared(&self) -> Option<PreparedOutbox> {
        None
    }

    async fn append(
        _: Option<&PreparedOutbox>,
        transaction: &mut Self::Transaction<'_>,
        event: Event,
    ) -> Result<EventId, AppendError> {
        Outbox::new().append(transaction, event).await
    }

    async fn append_all(
        _: Option<&PreparedOutbox>,
        transaction: &mut Self::Transaction<'_>,
        events: Vec<Event>,
    ) -> Result<Vec<EventId>, AppendError> {
        Outbox::new().append_all(transaction, events).await
    }

    /// What others see.
    async fn committed(&mut self) -> Result<Vec<Appended>> {
        let mut transaction = self.begin().await?;
        let events = appended(&Outbox::new(), &mut transaction).await?;
        Self::rollback(transaction).await?;
        Ok(events)
    }
}

/// A database with the table as `outboxd setup` makes it.
pub(crate) async fn database() -> Result<Database> {
    let server = servers::postgres(PgVersion::V17).await?;
    let database = Database::create(server, &unique("o")).await?;
    database.create_outbox().await?;
    Ok(database)
}

pub(crate) struct Memory(MemoryOutbox);

impl Backend for Memory {
    type Transaction<'a> = MemoryTransaction<'a>;

    async fn open() -> Result<Self> {
        Ok(Self(MemoryOutbox::new()))
    }

    async fn begin(&mut self) -> Result<Self::Transaction<'_>> {
        Ok(self.0.begin())
    }

    async fn commit(transaction: Self::Transaction<'_>) -> Result<()> {
        Ok(transaction.commit()?)
    }

    async fn rollback(transaction: Self::Transaction<'_>) -> Result<()> {
        transaction.rollback();
        Ok(())
    }

    async fn savepoint<'a>(
        transaction: &'a mut Self::Transaction<'_>,
    ) -> Result<Self::Transaction<'a>> {
        Ok(transaction.savepoint()?)
    }
}

pub(crate) struct Plain(Client);

impl Backend for Plain {
    type Transaction<'a> = tokio_postgres::Transaction<'a>;

    async fn open() -> Result<Self> {
        Ok(Self(connect(database().await?.url()).await?))
    }

    async fn begin(&mut self) -> Result<Self::Transaction<'_>> {
        Ok(self.0.transaction().await?)
    }

    async fn commit(transaction: Self::Transaction<'_>) -> Result<()> {
        Ok(transaction.commit().await?)
    }

    async fn rollback(transaction: Self::Transaction<'_>) -> Result<()> {
        Ok(transaction.rollback().await?)
    }

    async fn savepoint<'a>(
        transaction: &'a mut Self::Transaction<'_>,
    ) -> Result<Self::Transaction<'a>> {
        Ok(transaction.transaction().await?)
    }
}

/// The same with statements prepared beforehand.
pub(crate) struct Prepared {
    plain: Plain,
    outbox: PreparedOutbox,
}

impl Backend for Prepared {
    type Transaction<'a> = tokio_postgres::Transaction<'a>;

    async fn open() -> Result<Self> {
        let plain = Plain::open().await?;
        let outbox = Outbox::new().prepare(&plain.0).await?;
        Ok(Self { plain, outbox })
    }

    fn prepared(&self) -> Option<PreparedOutbox> {
        Some(self.outbox.clone())
    }

    async fn begin(&mut self) -> Result<Self::Transaction<'_>> {
        self.plain.begin().await
    }

    async fn commit(transaction: Self::Transaction<'_>) -> Result<()> {
        Plain::commit(transaction).await
    }

    async fn rollback(transaction: Self::Transaction<'_>) -> Result<()> {
        Plain::rollback(transaction).await
    }

    async fn savepoint<'a>(
        transaction: &'a mut Self::Transaction<'_>,
    ) -> Result<Self::Transaction<'a>> {
        Ok(transaction.transaction().await?)
    }

    async fn append(
        prepared: Option<&PreparedOutbox>,
        transaction: &mut Self::Transaction<'_>,
        event: Event,
    ) -> Result<EventId, AppendError> {
        prepared.expect("it was prepared").append(transaction, event).await
    }

    async fn append_all(
        prepared: Option<&PreparedOutbox>,
        transaction: &mut Self::Transaction<'_>,
        events: Vec<Event>,
    ) -> Result<Vec<EventId>, AppendError> {
        prepared.expect("it was prepared").append_all(transaction, events).await
    }
}

pub(crate) struct Deadpool(deadpool_postgres::Client);

impl Backend for Deadpool {
    type Transaction<'a> = deadpool_postgres::Transaction<'a>;

    async fn open() -> Result<Self> {
        let manager = Manager::new(database().await?.url().parse()?, NoTls);
        let pool = Pool::builder(manager).max_size(1).build()?;
        Ok(Self(pool.get().await?))
    }

    async fn begin(&mut self) -> Result<Self::Transaction<'_>> {
        Ok(self.0.transaction().await?)
    }

    async fn commit(transaction: Self::Transaction<'_>) -> Result<()> {
        Ok(transaction.commit().await?)
    }

    async fn rollback(transaction: Self::Transaction<'_>) -> Result<()> {
        Ok(transaction.rollback().await?)
    }

    async fn savepoint<'a>(
        transaction: &'a mut Self::Transaction<'_>,
    ) -> Result<Self::Transaction<'a>> {
        Ok(transaction.transaction().await?)
    }
}

pub(crate) struct Sqlx(PgConnection);

impl Backend for Sqlx {
    type Transaction<'a> = sqlx::Transaction<'a, Postgres>;

    async fn open() -> Result<Self> {
        Ok(Self(PgConnection::connect(database().await?.url()).await?))
    }

    async fn begin(&mut self) -> Result<Self::Transaction<'_>> {
        Ok(sqlx::Connection::begin(&mut self.0).await?)
    }

    async fn commit(transaction: Self::Transaction<'_>) -> Result<()> {
        Ok(transaction.commit().await?)
    }

    async fn rollback(transaction: Self::Transaction<'_>) -> Result<()> {
        Ok(transaction.rollback().await?)
    }

    async fn savepoint<'a>(
        transaction: &'a mut Self::Transaction<'_>,
    ) -> Result<Self::Transaction<'a>> {
        Ok(transaction.begin().await?)
    }
}
