//! Events appended in the transaction of the change that they tell of.
//!
//! An [`Outbox`] writes an [`Event`] as a row of the outbox table, in the caller's transaction. When
//! that commits, outboxd publishes the row to Kafka; when it rolls back, nothing was ever there.
//!
//! What Kafka or the relay would refuse is refused here, with an [`AppendError`] that names the
//! reason and aborts the transaction: too large a record (900 KiB by default), a topic or a header
//! that cannot be, a payload that its column does not take. What only Kafka knows is not: whether the
//! topic exists, and limits of its own below that of the outbox.
//!
//! ```no_run
//! # #[cfg(feature = "tokio-postgres")]
//! # async fn place_order(client: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use outboxd_client::outbox::{Event, Outbox};
//!
//! let outbox = Outbox::new();
//! let mut transaction = client.transaction().await?;
//! transaction.execute("insert into orders (id, total) values ($1, $2)", &[&4711_i64, &1290_i64]).await?;
//! let event = Event::new("Order", 4711, "OrderPlaced").json(&serde_json::json!({ "total": 1290 }))?;
//! outbox.append(&mut transaction, event).await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```

mod append;
#[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
mod columns;
#[cfg(feature = "deadpool-postgres")]
mod deadpool;
pub(crate) mod error;
mod event;
mod id;
mod jsonb;
mod payload;
#[cfg(feature = "tokio-postgres")]
mod prepared;
pub(crate) mod row;
#[cfg(feature = "sqlx")]
mod sqlx;
pub(crate) mod table;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;
#[cfg(feature = "trace-context")]
mod trace;
pub(crate) mod transaction;
mod typed;

pub use outboxd_core::headers::NameRefused;
pub use outboxd_core::relation::{ColumnNames, ExtraColumn, OptionalColumn};
pub use outboxd_core::route::{TopicRefused, TopicRules};

pub use self::append::Outbox;
pub use self::error::{
    AppendError, DatabaseError, EncodeError, HeaderReason, KeyReason, OutboxConfigError,
    TopicReason,
};
pub use self::event::Event;
pub use self::id::EventId;
pub use self::jsonb::JsonbRefused;
pub use self::payload::{Payload, PayloadType};
#[cfg(feature = "tokio-postgres")]
pub use self::prepared::PreparedOutbox;
pub use self::table::KeyType;
pub use self::transaction::OutboxTransaction;
pub use self::typed::{IntoEvent, OutboxEvent};
