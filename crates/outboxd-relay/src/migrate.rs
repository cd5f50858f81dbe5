//! Migrations: the SQL files under `migrations/`, and which of them a database has.
//!
//! [`Observed`] is read from the server, [`plan`] decides without IO which files are missing, and
//! each [`Step`] is one transaction: the file, and its line in the book (`outbox.migrations`). The
//! book is written by whatever runs the text, so that `setup`, `migrate up` and what `migrate
//! print` gives to other tools leave the same database. Nothing is ever run without being asked for.

pub mod apply;
mod files;
mod naming;
mod observe;
mod plan;
pub mod print;
pub mod status;

#[cfg(test)]
mod tests;

pub(crate) use self::files::OUTBOX_RIGHTS;
pub use self::files::{Migration, Part, Variant};
pub use self::naming::SchemaName;
#[cfg(test)]
pub(crate) use self::observe::ROLES;
pub use self::observe::{Entry, Events, Observed, SchemaState};
pub use self::plan::{Plan, Step, Wish, check_rights, plan};
