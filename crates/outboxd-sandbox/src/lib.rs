//! Starts real Postgres and Kafka servers on this machine, for the demo, tests and benchmarks.
//!
//! Two flavours share one API: plain processes of the host, and containers of a Docker-compatible
//! engine (cargo feature `containers`). Either way a server belongs to the value that started it:
//! dropping the value, or the death of the whole process by whatever signal, stops the server and
//! removes its data.
//!
//! Never part of a production image: nothing here is reachable from the relay.

#[cfg(feature = "containers")]
mod containers;
mod error;
mod flavour;
mod host;
mod kafka;
mod postgres;
mod processes;

pub use crate::{
    error::{Error, Result},
    flavour::Flavour,
    kafka::{Brokers, Kafka, KafkaOptions},
    postgres::{PgOptions, PgVersion, Postgres, StopMode},
    processes::kafka::tools::KafkaTools,
};
