//! The replication connection to Postgres.
//!
//! Data flows upwards through the modules: [`connect`] finds the primary and opens a socket
//! (with [`tls`] where asked for), [`auth`] logs in, [`framer`] cuts what arrives into messages,
//! and [`session`] speaks the replication protocol with them.
//!
//! What arrives is not trusted: every announced length is bounded before memory is taken for it,
//! and nonsense ends in a [`error::SourceError`], never in a panic. Nothing here looks inside the
//! payload of a CopyData message; that is the core's work.

pub mod auth;
pub mod connect;
pub mod error;
pub mod frame;
pub mod framer;
pub mod params;
pub mod server_error;
pub mod session;
pub mod socket;
pub mod startup;
pub mod tls;
pub mod tls_settings;

mod attempt;
mod quote;
mod stop;
#[cfg(test)]
mod testing;
mod url_keys;
