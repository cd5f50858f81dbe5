//! For a service's own tests: what behaves like the real thing, in memory, and what looks at either.

mod outbox;

pub use self::outbox::{Appended, MemoryOutbox, MemoryTransaction, appended, assert_appended};
