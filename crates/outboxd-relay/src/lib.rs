//! The shell around [`outboxd_core`]: sockets, Kafka, clocks, configuration.
//!
//! Nothing here decides about order, position, retries or parking; the core does.

pub mod catalog;
pub mod config;
pub mod control;
pub mod setup;
pub mod sink;
pub mod source;
pub mod status;
