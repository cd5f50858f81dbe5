//! The relay's own files, without the Kafka client that the rest of its crate needs.
#![expect(dead_code, reason = "the rest of the relay's crate uses it")]

#[path = "../../crates/outboxd-relay/src/source/error.rs"]
pub(crate) mod error;
#[path = "../../crates/outboxd-relay/src/source/frame.rs"]
pub(crate) mod frame;
#[path = "../../crates/outboxd-relay/src/source/framer.rs"]
pub(crate) mod framer;
#[path = "../../crates/outboxd-relay/src/source/server_error.rs"]
pub(crate) mod server_error;
