//! The shell around [`outboxd_core`]: sockets, Kafka, clocks, configuration.
//!
//! Nothing here decides about order, position, retries or parking; the core does.

pub mod catalog;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dead_letters;
mod failpoints;
pub mod health;
pub mod http;
mod link_failure;
pub mod metrics;
pub mod migrate;
pub mod open;
pub mod repair;
pub mod run;
pub mod setup;
pub mod sink;
pub mod slot_status;
pub mod source;
pub mod status;
pub mod wiring;

/// An error with what caused it, in one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
