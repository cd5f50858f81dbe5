//! `setup`: brings a database to the state that a relay needs, and changes nothing that is there.
//!
//! [`Observed`] is read from the server, [`plan`] decides without IO what is missing, and
//! [`SetupPlan`] says it in the order in which it has to happen: tables, then the publication,
//! then the progress topic and the slot. A slot that is older than the publication could not
//! decode what was written in between.
//!
//! The slot and the topic are made by the caller, which has the replication session and Kafka.
//! Whether a slot that exists may be used is the gate's decision, not ours.

mod apply;
mod observe;
mod plan;
mod render;
mod roles;
pub(crate) mod sql;

pub use apply::{apply_statements, lock, reporting_open_transactions};
pub use observe::Observed;
pub use plan::{NewSlot, SetupPlan, Statement, Wish, plan};

#[cfg(test)]
mod tests;
