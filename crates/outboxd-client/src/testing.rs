//! In memory, what a service talks to, for its own tests: no server, and no clock but the test's.
//!
//! They decide by the same functions as the real ones, and pass the same tests. What looks at events
//! looks at a real table as well.

mod broker;
mod inbox;
#[warn(missing_docs)]
mod outbox;

pub use self::broker::MemoryBroker;
pub use self::inbox::MemoryInbox;
pub use self::outbox::{Appended, MemoryOutbox, MemoryTransaction, appended, assert_appended};
