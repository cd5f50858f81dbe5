//! Servers as plain processes of this machine.

pub(crate) mod kafka;
pub(crate) mod postgres;
