//! Messages handled once: the inbox of the client crate on real servers.

#![expect(clippy::unwrap_used, reason = "a test ends at its first failure, helpers included")]

mod alike;
mod batch;
mod concurrent;
mod consumers;
mod death;
mod leases;
mod order;
mod purge;
mod roles;
mod shop;
mod starts;
mod states;
mod watermark;
