//! What an outbox can be appended to: transactions, and nothing else.
//!
//! A connection or a pool is refused by the compiler, so that no event is written beside the change
//! it tells of.

use super::error::DatabaseError;
use super::row::Row;
use super::table::Insert;
#[cfg(feature = "testing")]
use crate::testing::Appended;

/// A transaction of one of the drivers: `tokio_postgres::Transaction`,
/// `deadpool_postgres::Transaction`, `sqlx::Transaction<'_, sqlx::Postgres>`, or that of the outbox in
/// memory. Not to be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction",
    label = "not a transaction",
    note = "an event is appended in the transaction of the change it tells of: begin one, and pass `&mut transaction`",
    note = "each driver is a feature of outboxd-client: `tokio-postgres`, `deadpool-postgres`, `sqlx`"
)]
pub trait OutboxTransaction: Write {}

/// What the outbox does in a transaction.
pub trait Write: Send {
    /// Writes one row.
    fn insert(
        &mut self,
        insert: &Insert,
        row: &Row,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// Writes rows, of which there is one at least, in one round trip.
    fn insert_all(
        &mut self,
        insert: &Insert,
        rows: &[Row],
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// Makes it impossible to commit.
    fn abort(&mut self) -> impl Future<Output = ()> + Send;

    /// Reads all rows back.
    #[cfg(feature = "testing")]
    fn select(
        &mut self,
        insert: &Insert,
    ) -> impl Future<Output = Result<Vec<Appended>, DatabaseError>> + Send;
}

/// Any failed statement aborts a transaction; this one says why in the server's log.
#[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
pub(super) const ABORT: &str = "do $$ begin raise exception 'outboxd-client: an event was refused, so \
                                that its transaction cannot commit'; end $$";
