//! For a service's own tests: what behaves like the real thing, in memory, and what looks at either. No
//! server, and no clock but the test's.
//!
//! They decide by the same functions as the real ones, and pass the same tests.

mod broker;
mod inbox;
mod outbox;

pub use self::broker::MemoryBroker;
pub use self::inbox::MemoryInbox;
pub use self::outbox::{Appended, MemoryOutbox, MemoryTransaction, appended, assert_appended};
