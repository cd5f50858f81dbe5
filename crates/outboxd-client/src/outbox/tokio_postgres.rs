//! Transactions of tokio-postgres.
//!
//! It keeps no prepared statements by itself: a row is sent as a statement without a name, in one
//! round trip, and is parsed each time. [`Outbox::prepare`](super::Outbox::prepare) saves the parsing.

use std::io;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Statement, Transaction};

use super::columns::{Column, columns};
use super::error::DatabaseError;
use super::row::{Cell, Row};
use super::table::Insert;
#[cfg(feature = "testing")]
use super::table::Part;
use super::transaction::{ABORT, OutboxTransaction, Write};
#[cfg(feature = "testing")]
use crate::testing::Appended;

impl OutboxTransaction for Transaction<'_> {}

impl Write for Transaction<'_> {
    async fn insert(&mut self, insert: &Insert, row: &Row) -> Result<(), DatabaseError> {
        let params: Vec<_> = row.cells.iter().map(typed_cell).collect();
        self.execute_typed(&insert.one, &params).await?;
        Ok(())
    }

    async fn insert_all(&mut self, insert: &Insert, rows: &[Row]) -> Result<(), DatabaseError> {
        let columns = columns(rows);
        let params: Vec<_> = columns.iter().map(typed_column).collect();
        self.execute_typed(&insert.all, &params).await?;
        Ok(())
    }

    async fn abort(&mut self) {
        // It is an error by design, and one of the connection ends the transaction as well.
        let _ = self.batch_execute(ABORT).await;
    }

    #[cfg(feature = "testing")]
    async fn select(&mut self, insert: &Insert) -> Result<Vec<Appended>, DatabaseError> {
        let rows = self.query_typed(&insert.select, &[]).await?;
        rows.iter().map(|row| Ok(appended(insert, row)?)).collect()
    }
}

/// Writes one row by a prepared statement.
pub(super) async fn insert_prepared(
    transaction: &Transaction<'_>,
    statement: &Statement,
    row: &Row,
) -> Result<(), DatabaseError> {
    let params: Vec<_> = row.cells.iter().map(|cell| typed_cell(cell).0).collect();
    transaction.execute(statement, &params).await?;
    Ok(())
}

/// Writes rows by a prepared statement.
pub(super) async fn insert_all_prepared(
    transaction: &Transaction<'_>,
    statement: &Statement,
    rows: &[Row],
) -> Result<(), DatabaseError> {
    let columns = columns(rows);
    let params: Vec<_> = columns.iter().map(|column| typed_column(column).0).collect();
    transaction.execute(statement, &params).await?;
    Ok(())
}

fn typed_cell(cell: &Cell) -> (&(dyn ToSql + Sync), Type) {
    match cell {
        Cell::Uuid(id) => (id, Type::UUID),
        Cell::Text(text) => (text, Type::TEXT),
        Cell::Bytes(bytes) => (bytes, Type::BYTEA),
    }
}

fn typed_column<'a>(column: &'a Column<'_>) -> (&'a (dyn ToSql + Sync), Type) {
    match column {
        Column::Uuid(ids) => (ids, Type::UUID_ARRAY),
        Column::Text(texts) => (texts, Type::TEXT_ARRAY),
        Column::Bytes(bytes) => (bytes, Type::BYTEA_ARRAY),
    }
}

#[cfg(feature = "testing")]
fn appended(insert: &Insert, row: &tokio_postgres::Row) -> Result<Appended, Error> {
    let cell = |(index, part): (usize, &Part)| match part {
        Part::Payload => row.try_get(index),
        _ => Ok(row.try_get::<_, Option<String>>(index)?.map(String::into_bytes)),
    };
    let cells = insert.parts.iter().enumerate().map(cell).collect::<Result<_, Error>>()?;
    Ok(Appended::read(&insert.parts, cells))
}

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        let sqlstate = error.code().map(|code| code.code().to_owned());
        let cause = std::error::Error::source(&error);
        let is_connection =
            error.is_closed() || cause.is_some_and(<dyn std::error::Error>::is::<io::Error>);
        Self::new(sqlstate.as_deref(), is_connection, error)
    }
}
