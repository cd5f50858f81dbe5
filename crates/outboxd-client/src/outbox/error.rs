//! Why an event was not appended.

use std::error::Error;

use outboxd_core::headers::NameRefused;
use outboxd_core::relation::ParseTableNameError;
use outboxd_core::route::{RouterError, TopicRefused};

use super::jsonb::JsonbRefused;
use super::payload::PayloadType;

/// Why an event was not appended. Whichever it is, the transaction is aborted: Postgres refuses
/// every further statement in it, and a commit rolls back. A change without its event, or an event
/// that no relay could publish, cannot be committed by an error that was overlooked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The payload does not fit its column.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The record that the relay would make of it is above the limit of the outbox.
    #[error("the record would have {size} bytes, and the limit of the outbox is {limit}")]
    TooLarge {
        /// Bytes of key, value, headers and what Kafka adds, before compression.
        size: usize,
        /// Bytes; see [`Outbox::size_limit`](super::Outbox::size_limit).
        limit: usize,
    },
    /// No topic can have this name, or it is none that this outbox writes to.
    #[error("topic {topic:?} {reason}")]
    InvalidTopic {
        /// Where the event would go.
        topic: String,
        /// What is wrong with it.
        reason: TopicReason,
    },
    /// The relay would not send this header.
    #[error("header {name:?} {reason}")]
    InvalidHeader {
        /// The name of the header.
        name: String,
        /// What is wrong with it.
        reason: HeaderReason,
    },
    /// The aggregate id or the partition key does not fit its column.
    #[error("the {part} {reason}")]
    InvalidKey {
        /// `aggregate id` or `partition key`.
        part: &'static str,
        /// What is wrong with it; the key itself is not shown.
        reason: KeyReason,
    },
    /// Postgres cannot store it.
    #[error("the {part} contains a NUL character")]
    InvalidText {
        /// `aggregate type` or `event type`.
        part: &'static str,
    },
    /// What the database, or the way to it, had against it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl AppendError {
    /// Whether the whole transaction may succeed when it is tried again from its beginning: a
    /// serialization failure, a deadlock, a server that is away. Everything else fails again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_transient())
    }
}

/// Why a payload cannot be what its column holds. The payload itself is not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// serde cannot write the value as JSON.
    #[error("the payload cannot be written as JSON")]
    Serialize(#[from] serde_json::Error),
    /// An encoder of the service's own failed; see [`EncodeError::custom`].
    #[error("the payload cannot be encoded")]
    Custom(#[source] Box<dyn Error + Send + Sync>),
    /// The bytes are not JSON.
    #[error("the payload is not JSON, and its column is {column}")]
    NotJson {
        /// The type of the payload column.
        column: PayloadType,
        /// Where the text stops being JSON.
        source: serde_json::Error,
    },
    /// The bytes are not text.
    #[error("the payload is not UTF-8, and its column is {column}")]
    NotUtf8 {
        /// The type of the payload column.
        column: PayloadType,
    },
    /// The text contains a NUL character.
    #[error("the payload contains a NUL character, and its column is {column}")]
    Nul {
        /// The type of the payload column.
        column: PayloadType,
    },
    /// It is JSON, but not for `jsonb`.
    #[error("the payload {0}, and its column is jsonb")]
    Jsonb(#[from] JsonbRefused),
}

impl EncodeError {
    /// An error of an encoder of the service's own, such as that of Avro or Protobuf.
    pub fn custom(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Custom(error.into())
    }
}

/// What is wrong with a topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicReason {
    /// By the rules of Kafka, or those of the outbox.
    #[error("{0}")]
    Refused(TopicRefused),
    /// The event names a topic, and the outbox has no column for it.
    #[error("has no column in this outbox to be written to; Outbox::columns names it")]
    NoColumn,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderReason {
    /// The relay would drop a header of this name, or refuse the event.
    #[error("{0}")]
    Name(NameRefused),
    /// Postgres cannot store the value.
    #[error("has a value with a NUL character")]
    NulValue,
    /// The outbox has no column for headers.
    #[error("has no column in this outbox to be written to; Outbox::columns names it")]
    NoColumn,
}

/// What is wrong with an aggregate id or a partition key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyReason {
    /// Postgres cannot store it.
    #[error("contains a NUL character")]
    Nul,
    /// The column is `uuid`.
    #[error("is no UUID, and its column is uuid")]
    NotUuid,
    /// The column is `bigint`.
    #[error("is no integer of 64 bits, and its column is bigint")]
    NotBigInt,
    /// The event has a partition key, and the outbox has no column for it.
    #[error("has no column in this outbox to be written to; Outbox::columns names it")]
    NoColumn,
}

/// Options that make no outbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxConfigError {
    /// Not `schema.table`.
    #[error(transparent)]
    Table(#[from] ParseTableNameError),
    /// Topic rules that cannot work.
    #[error(transparent)]
    Topics(#[from] RouterError),
}

/// An error of the database or of its driver, which is its source: `tokio_postgres::Error` or
/// `sqlx::Error`.
#[derive(Debug, thiserror::Error)]
#[error("the event could not be written to the outbox{}", code(sqlstate.as_deref()))]
pub struct DatabaseError {
    sqlstate: Option<String>,
    is_connection: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl DatabaseError {
    #[cfg(any(feature = "tokio-postgres", feature = "sqlx", feature = "testing"))]
    pub(crate) fn new(
        sqlstate: Option<&str>,
        is_connection: bool,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self { sqlstate: sqlstate.map(str::to_owned), is_connection, source: Box::new(source) }
    }

    /// What Postgres calls the error; `None` when it did not come from the server.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// Whether the transaction may succeed when it is tried again.
    pub fn is_transient(&self) -> bool {
        self.is_connection || self.sqlstate().is_some_and(is_transient)
    }
}

fn code(sqlstate: Option<&str>) -> String {
    sqlstate.map(|sqlstate| format!(" (SQLSTATE {sqlstate})")).unwrap_or_default()
}

/// Rolled back for the sake of another transaction; connection lost; out of a resource; a server
/// that shuts down or starts.
fn is_transient(sqlstate: &str) -> bool {
    matches!(sqlstate, "40001" | "40P01" | "57P01" | "57P02" | "57P03" | "55P03")
        || ["08", "53"].iter().any(|class| sqlstate.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_go_away_is_tried_again() {
        for (sqlstate, expected) in [
            ("40001", true),
            ("40P01", true),
            ("08006", true),
            ("53300", true),
            ("57P01", true),
            ("23505", false),
            ("42501", false),
            ("42P01", false),
            ("25P02", false),
        ] {
            assert_eq!(is_transient(sqlstate), expected, "{sqlstate}");
        }
        assert!(!AppendError::TooLarge { size: 2, limit: 1 }.is_transient());
    }
}
