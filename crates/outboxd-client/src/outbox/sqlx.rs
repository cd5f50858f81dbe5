//! Transactions of sqlx, whose connections remember prepared statements.

use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Error, Postgres, Transaction};

use super::columns::{Column, columns};
use super::error::DatabaseError;
use super::row::{Cell, Row};
use super::table::Insert;
#[cfg(feature = "testing")]
use super::table::Part;
use super::transaction::{ABORT, OutboxTransaction, Write};
#[cfg(feature = "testing")]
use crate::testing::Appended;

impl OutboxTransaction for Transaction<'_, Postgres> {}

impl Write for Transaction<'_, Postgres> {
    async fn insert(&mut self, insert: &Insert, row: &Row) -> Result<(), DatabaseError> {
        row.cells.iter().fold(query(&insert.one), bind_cell).execute(&mut **self).await?;
        Ok(())
    }

    async fn insert_all(&mut self, insert: &Insert, rows: &[Row]) -> Result<(), DatabaseError> {
        columns(rows).iter().fold(query(&insert.all), bind_column).execute(&mut **self).await?;
        Ok(())
    }

    async fn abort(&mut self) {
        // It is an error by design, and one of the connection ends the transaction as well.
        let _ = sqlx::raw_sql(ABORT).execute(&mut **self).await;
    }

    #[cfg(feature = "testing")]
    async fn select(&mut self, insert: &Insert) -> Result<Vec<Appended>, DatabaseError> {
        let rows = query(&insert.select).fetch_all(&mut **self).await?;
        Ok(rows.iter().map(|row| appended(insert, row)).collect::<Result<_, Error>>()?)
    }
}

/// Nothing of an event is in the text of a statement.
fn query(sql: &Arc<str>) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(Arc::clone(sql)))
}

fn bind_cell<'q>(
    query: Query<'q, Postgres, PgArguments>,
    cell: &Cell,
) -> Query<'q, Postgres, PgArguments> {
    match cell {
        Cell::Uuid(id) => query.bind(id),
        Cell::Text(text) => query.bind(text.as_deref()),
        Cell::Bytes(bytes) => query.bind(bytes.as_deref()),
    }
}

fn bind_column<'q>(
    query: Query<'q, Postgres, PgArguments>,
    column: &Column<'_>,
) -> Query<'q, Postgres, PgArguments> {
    match column {
        Column::Uuid(ids) => query.bind(&ids[..]),
        Column::Text(texts) => query.bind(&texts[..]),
        Column::Bytes(bytes) => query.bind(&bytes[..]),
    }
}

#[cfg(feature = "testing")]
fn appended(insert: &Insert, row: &sqlx::postgres::PgRow) -> Result<Appended, Error> {
    use sqlx::Row as _;
    let cell = |(index, part): (usize, &Part)| match part {
        Part::Payload => row.try_get(index),
        _ => Ok(row.try_get::<Option<String>, _>(index)?.map(String::into_bytes)),
    };
    let cells = insert.parts.iter().enumerate().map(cell).collect::<Result<_, Error>>()?;
    Ok(Appended::read(&insert.parts, cells))
}

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        let sqlstate = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let sqlstate = sqlstate.map(std::borrow::Cow::into_owned);
        let is_connection = matches!(error, Error::Io(_) | Error::Tls(_));
        Self::new(sqlstate.as_deref(), is_connection, error)
    }
}
