//! Faults on real servers: whatever is killed, frozen, cut or tampered with, the promises hold, or
//! the relay stops with the name of what is wrong.
//!
//! A test that hurts a server starts one of its own; the others share.

mod access;
mod backlog;
mod brokers;
mod bulk;
mod ddl;
mod disk;
mod exactly_once;
mod failpoints;
mod far;
mod gates;
mod kills;
mod limits;
mod links;
mod logins;
mod machine;
mod million;
mod mode;
mod oracle;
mod outages;
mod patience;
mod position;
mod postgres;
mod power;
mod server_log;
mod silence;
mod soak;
mod stage;
mod standby;
mod tally;
mod topics;
