//! What both kinds of servers need of this machine when they run as plain processes: a folder that
//! cleans up after itself, ports of their own, an account to run under, a cache of what was
//! fetched, and processes that can be signalled as a whole.

pub(crate) mod account;
pub(crate) mod cache;
pub(crate) mod command;
pub(crate) mod folder;
pub(crate) mod port;
pub(crate) mod process;
mod process_table;
