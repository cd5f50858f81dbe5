//! What the system catalog says of the slot, the publication, the outbox tables and the server.
//!
//! Queries only: nothing here changes the server, and what follows from the answers is decided by
//! the core's gate or by `setup`. Versions 14 to 18 differ in their columns, so queries are put
//! together by server version.

pub mod capacity;
pub mod privilege;
pub mod publication;
pub mod server;
pub mod slot;
pub mod table;
pub mod transactions;
