//! An outbox whose statements were prepared on one connection of tokio-postgres.

use tokio_postgres::{Client, Statement, Transaction};

use super::tokio_postgres::{insert_all_prepared, insert_prepared};
use super::transaction::Write as _;
use super::{AppendError, DatabaseError, EventId, IntoEvent, Outbox};

/// Appends without parsing a statement each time. Made by [`Outbox::prepare`], and of use on the
/// connection it was made with only. A pool of deadpool, and sqlx, remember statements by themselves.
#[derive(Clone, Debug)]
pub struct PreparedOutbox {
    outbox: Outbox,
    one: Statement,
    all: Statement,
}

impl Outbox {
    /// Prepares the statements of this outbox on a connection.
    ///
    /// # Errors
    /// When the table does not exist, has other columns, or may not be written to.
    pub async fn prepare(&self, client: &Client) -> Result<PreparedOutbox, DatabaseError> {
        let one = client.prepare(&self.insert.one).await?;
        let all = client.prepare(&self.insert.all).await?;
        Ok(PreparedOutbox { outbox: self.clone(), one, all })
    }
}

impl PreparedOutbox {
    /// As [`Outbox::append`], in a transaction of the connection it was prepared on.
    ///
    /// # Errors
    /// Those of [`Outbox::append`].
    pub async fn append(
        &self,
        transaction: &mut Transaction<'_>,
        event: impl IntoEvent,
    ) -> Result<EventId, AppendError> {
        let row = match self.outbox.row(event) {
            Ok(row) => row,
            Err(refused) => {
                transaction.abort().await;
                return Err(refused);
            }
        };
        insert_prepared(transaction, &self.one, &row).await?;
        Ok(row.id)
    }

    /// As [`Outbox::append_all`], in a transaction of the connection it was prepared on.
    ///
    /// # Errors
    /// Those of [`Outbox::append_all`].
    pub async fn append_all<E: IntoEvent>(
        &self,
        transaction: &mut Transaction<'_>,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<EventId>, AppendError> {
        let rows = match self.outbox.rows(events) {
            Ok(rows) => rows,
            Err(refused) => {
                transaction.abort().await;
                return Err(refused);
            }
        };
        for rows in super::append::statements(&rows) {
            insert_all_prepared(transaction, &self.all, rows).await?;
        }
        Ok(rows.iter().map(|row| row.id).collect())
    }
}
