//! Every decision of outboxd, without IO: no sockets, no clock, no randomness, no async.
//!
//! Data flows through the modules in this order: [`wire`] takes a replication frame apart,
//! [`pgoutput`] decodes the change in it, [`mapping`] turns a row into a Kafka record (by way of
//! [`relation`], [`event`], [`route`], [`headers`]), [`window`] remembers what is in flight,
//! [`progress`] says what is durable, and [`relay`] is the state machine that drives them.
//! [`gate`] decides at the start of a session whether it is safe to go on.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod event;
pub mod gate;
pub mod headers;
pub mod lsn;
pub mod mapping;
pub mod murmur2;
pub mod pgoutput;
pub mod progress;
pub mod record;
pub mod relation;
pub mod relay;
pub mod route;
pub mod stop;
pub mod time;
pub mod timestamp;
pub mod topic;
pub mod window;
pub mod wire;
