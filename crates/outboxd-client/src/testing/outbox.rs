//! An outbox in memory, and a look at what was appended to it or to a real one.
//!
//! ```
//! # use outboxd_client::outbox::{AppendError, Event, Outbox, OutboxTransaction};
//! use outboxd_client::testing::{MemoryOutbox, assert_appended};
//!
//! async fn ship<T: OutboxTransaction>(transaction: &mut T) -> Result<(), AppendError> {
//!     let event = Event::new("Order", "o-1", "OrderShipped").json(&3)?;
//!     Outbox::new().append(transaction, event).await.map(drop)
//! }
//!
//! # tokio_test(async {
//! let memory = MemoryOutbox::new();
//! let mut transaction = memory.begin();
//! ship(&mut transaction).await?;
//! transaction.commit()?;
//! let shipped = memory.appended();
//! assert_eq!(assert_appended(&shipped, "Order", "o-1", "OrderShipped").json::<i32>(), 3);
//! # Ok::<_, AppendError>(())
//! # });
//! # fn tokio_test(future: impl Future<Output = Result<(), AppendError>>) {
//! #     let mut future = std::pin::pin!(future);
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) else {
//! #         panic!("memory waits for nothing")
//! #     };
//! #     done.unwrap();
//! # }
//! ```

mod appended;
mod memory;

pub use self::appended::{Appended, appended, assert_appended};
pub use self::memory::{MemoryOutbox, MemoryTransaction};
