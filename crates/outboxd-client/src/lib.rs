//! What services link so that a change of their database and an event come together, and an effect
//! happens once.
//!
//! `outbox` appends events inside the transaction of the business change; `inbox` handles a message
//! once, in one transaction with its effect. [`Message`] is what a consumer has received.
//!
//! No driver comes by default: the features `tokio-postgres`, `deadpool-postgres` and `sqlx` choose.

#[cfg(any(feature = "tokio-postgres", feature = "testing"))]
pub mod inbox;
mod message;
#[warn(missing_docs)]
pub mod outbox;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::message::{Header, Message};

/// What the pages for authors of services show is compiled.
#[cfg(all(
    doctest,
    feature = "deadpool-postgres",
    feature = "kafka",
    feature = "sqlx",
    feature = "testing",
    feature = "tokio-postgres"
))]
mod pages {
    #[doc = include_str!("../../../docs/consuming.md")]
    mod consuming {}
    #[doc = include_str!("../../../docs/producing.md")]
    mod producing {}
}
