//! Transactions of deadpool-postgres, whose connections remember prepared statements.

use deadpool_postgres::Transaction;

use super::error::DatabaseError;
use super::row::Row;
use super::table::Insert;
use super::tokio_postgres::{insert_all_prepared, insert_prepared};
use super::transaction::{OutboxTransaction, Write};
#[cfg(feature = "testing")]
use crate::testing::Appended;

impl OutboxTransaction for Transaction<'_> {}

impl Write for Transaction<'_> {
    async fn insert(&mut self, insert: &Insert, row: &Row) -> Result<(), DatabaseError> {
        let statement = self.prepare_cached(&insert.one).await?;
        insert_prepared(self, &statement, row).await
    }

    async fn insert_all(&mut self, insert: &Insert, rows: &[Row]) -> Result<(), DatabaseError> {
        let statement = self.prepare_cached(&insert.all).await?;
        insert_all_prepared(self, &statement, rows).await
    }

    async fn abort(&mut self) {
        Write::abort(&mut **self).await;
    }

    #[cfg(feature = "testing")]
    async fn select(&mut self, insert: &Insert) -> Result<Vec<Appended>, DatabaseError> {
        Write::select(&mut **self, insert).await
    }
}
