//! Messages handled once: the inbox of the client crate on real servers.

#![expect(clippy::unwrap_used, reason = "a test ends at its first failure, helpers included")]

mod concurrent;
mod shop;
mod states;
