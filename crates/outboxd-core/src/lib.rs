//! Every decision of outboxd, without IO: no sockets, no clock, no randomness, no async.
//!
//! Data flows through the modules in this order: [`wire`] takes a replication frame apart,
//! [`pgoutput`] decodes the change in it, [`relation`] and [`event`] turn a row into an outbox
//! event, [`route`] turns that into a Kafka record, [`window`] remembers what is in flight,
//! [`progress`] says what is durable, and [`relay`] is the state machine that drives them.
//! [`gate`] decides at the start of a session whether it is safe to go on, and [`repair`] what is to
//! be done where it is not.

pub mod backoff;
mod content;
#[cfg(any(test, feature = "encode"))]
pub mod encode;
pub mod event;
pub mod gate;
pub mod headers;
pub mod ledger;
pub mod lsn;
pub mod mapping;
pub mod murmur2;
pub mod parking;
pub mod pgoutput;
#[cfg(test)]
mod planted;
pub mod progress;
pub mod record;
pub mod relation;
pub mod relay;
pub mod repair;
pub mod route;
pub mod stop;
pub mod time;
pub mod timestamp;
pub mod topic;
pub mod topics;
pub mod trial;
pub mod window;
pub mod wire;
