//! The sandbox on real servers. One program, so that its tests share what was fetched and take
//! turns on a small machine.

mod kafka;
mod look;
mod orphans;
mod postgres;
