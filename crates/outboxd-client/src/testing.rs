//! In memory, what a service talks to, for its own tests: no server, and no clock but the test's.
//!
//! They decide by the same functions as the real ones, and pass the same tests.

mod broker;
mod inbox;

pub use self::broker::MemoryBroker;
pub use self::inbox::MemoryInbox;
