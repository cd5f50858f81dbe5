//! A message handled once: what it does and the note that it was handled are one transaction.
//!
//! [`Inbox::process`] is the whole of it for most services. [`decision`] decides, [`claim`] asks it with
//! what [`rows`] has, [`process`] puts a handler between them; [`batch`], [`lease`] and [`retry`] are
//! the same for many messages, for effects outside the database, and for what failed before.
//! A row is written when a message is through (one insert) or could not be handled; a transaction
//! that is under way leaves nothing but a lock, for which duplicates wait.

pub(crate) mod decision;
#[cfg(feature = "tokio-postgres")]
mod header_json;
mod options;
mod outcome;

#[cfg(feature = "tokio-postgres")]
mod batch;
#[cfg(feature = "tokio-postgres")]
mod claim;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "tokio-postgres")]
mod lease;
#[cfg(feature = "tokio-postgres")]
mod process;
#[cfg(feature = "tokio-postgres")]
mod purge;
#[cfg(feature = "tokio-postgres")]
mod retry;
#[cfg(feature = "tokio-postgres")]
mod rows;
#[cfg(feature = "tokio-postgres")]
mod source;
#[cfg(feature = "tokio-postgres")]
mod statements;

#[cfg(feature = "tokio-postgres")]
pub use self::claim::Claim;
pub use self::decision::State;
pub use self::options::Inbox;
pub use self::outcome::{HandlerError, InboxError, Outcome};
#[cfg(feature = "tokio-postgres")]
pub use self::process::Handling;
#[cfg(feature = "tokio-postgres")]
pub use self::purge::Purged;
#[cfg(feature = "deadpool-postgres")]
pub use self::source::Pooled;
#[cfg(feature = "tokio-postgres")]
pub use self::source::Source;

#[cfg(feature = "kafka")]
use self::outcome::words;
