//! What an append says when the way to the database is at fault, or the table.

use anyhow::{Result, ensure};
use outboxd_client::outbox::{AppendError, Event, Outbox, OutboxTransaction};
use sqlx::{Connection as _, PgConnection};

use crate::backend::database;

const PID: &str = "select pg_backend_pid()";

async fn refused<T: OutboxTransaction>(transaction: &mut T) -> Result<AppendError> {
    match Outbox::new().append(transaction, Event::new("Order", 1, "OrderPlaced")).await {
        Ok(id) => anyhow::bail!("{id} was appended"),
        Err(error) => Ok(error),
    }
}

#[tokio::test]
async fn a_lost_connection_is_worth_another_try() -> Result<()> {
    let database = database().await?;
    let terminate = "select pg_terminate_backend($1, 10000)";
    let mut client = database.connect().await?;
    let mut transaction = client.transaction().await?;
    let pid: i32 = transaction.query_one(PID, &[]).await?.get(0);
    database.client().query_one(terminate, &[&pid]).await?;
    let error = refused(&mut transaction).await?;
    ensure!(error.is_transient(), "{error:?}");
    let mut connection = PgConnection::connect(database.url()).await?;
    let mut transaction = sqlx::Connection::begin(&mut connection).await?;
    let pid: i32 = sqlx::query_scalar(PID).fetch_one(&mut *transaction).await?;
    database.client().query_one(terminate, &[&pid]).await?;
    let error = refused(&mut transaction).await?;
    ensure!(error.is_transient(), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_missing_table_is_not() -> Result<()> {
    let database = database().await?;
    let mut client = database.connect().await?;
    let elsewhere = Outbox::new().table("outbox.nowhere")?;
    let error = elsewhere.prepare(&client).await.unwrap_err();
    ensure!(error.sqlstate() == Some("42P01") && !error.is_transient(), "{error:?}");
    let mut transaction = client.transaction().await?;
    let event = Event::new("Order", 1, "OrderPlaced");
    let error = elsewhere.append(&mut transaction, event).await.unwrap_err();
    ensure!(
        error.to_string() == "the event could not be written to the outbox (SQLSTATE 42P01)",
        "{error}"
    );
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    ensure!(cause.is_some_and(|cause| cause.contains("db error")), "{error:?}");
    Ok(())
}
