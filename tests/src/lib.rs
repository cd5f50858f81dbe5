//! What the tests on real servers share: servers, a relay as a process of its own, writers, a
//! reader of topics, and the checker that compares what was committed with what was published.
//!
//! A test builds a [`scene::Scene`] (a database and a name of its own on shared servers), starts a
//! [`relay::RelayProcess`] on it, lets a [`workload::Workload`] write, reads the
//! [`topic::Topic`], and hands the [`truth`] of the table and the records to [`checker::check`].
//! Nothing here sleeps in order to synchronise: waits are for something that can be seen, and end
//! in an error at a deadline that only something broken reaches.

pub mod binary;
pub mod checker;
pub mod database;
pub mod guard;
pub mod log;
pub mod patience;
pub mod proxy;
pub mod random;
pub mod relay;
pub mod rounds;
pub mod scene;
pub mod servers;
pub mod topic;
pub mod truth;
pub mod workload;
pub mod world;
