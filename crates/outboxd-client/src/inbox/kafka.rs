//! The consumer's loop over Kafka.
//!
//! [`turn`] carries between librdkafka, the database and the handler, as [`consumer`] was told;
//! [`lanes`] decides, for each partition by itself, what is handled next and what has to pause;
//! [`rebalance`] holds a revocation back until what is in flight is through; [`dead_letter`] makes the
//! records of `.dlt`.
//!
//! An offset is stored for commit only when the database has committed, or has written down that the
//! message failed. Polling goes on whatever handlers and databases do.

mod consumer;
mod dead_letter;
mod flight;
mod lanes;
mod rebalance;
mod record;
mod turn;

pub use self::consumer::{Consumer, ConsumerError};
