//! The files, and which of them make what, in the order in which they have to run.
//!
//! A released file is never edited and never renamed: what has to change is a new file at the end
//! of its list, with a later version.

use std::fmt;

/// One file. Its name stands in the book, its version in the names that other tools want.
#[derive(Debug, Eq, PartialEq)]
pub struct Migration {
    /// `YYYYMMDDhhmmss`, as migrations are commonly numbered. Rises in every list.
    pub version: u64,
    /// Path below `migrations/`, without the ending.
    pub name: &'static str,
    /// What it makes, in a few words.
    pub what: &'static str,
    pub(super) sql: &'static str,
}

/// What may be wanted apart from each other.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Part {
    Outbox,
    DeadLetters,
    Inbox,
}

/// How `outbox.events` is made. To those who insert, and in Kafka, all are the same.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Variant {
    /// Partitions that take turns and are truncated in turn.
    Rotating,
    /// One table, of which nothing is removed.
    Plain,
    /// A table whose rows are deleted by the transaction that inserts them.
    Transient,
    /// A view whose inserts are messages in the write-ahead log.
    View,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Outbox, Self::DeadLetters, Self::Inbox];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::DeadLetters => "dead-letters",
            Self::Inbox => "inbox",
        }
    }

    /// The schema that its files name.
    pub(super) const fn schema(self) -> &'static str {
        match self {
            Self::Outbox | Self::DeadLetters => "outbox",
            Self::Inbox => "inbox",
        }
    }

    pub(super) fn tables(self, variant: Variant) -> Vec<&'static Migration> {
        match (self, variant) {
            (Self::Outbox, Variant::Rotating) => {
                vec![&SCHEMA, &ROTATING_EVENTS, &GUARDS, &ROTATE, &EMIT]
            }
            (Self::Outbox, Variant::Plain) => vec![&SCHEMA, &PLAIN_EVENTS, &GUARDS, &EMIT],
            (Self::Outbox, Variant::Transient) => vec![&SCHEMA, &TRANSIENT_EVENTS, &GUARDS, &EMIT],
            (Self::Outbox, Variant::View) => vec![&SCHEMA, &VIEW_EVENTS, &VIEW_WRITE, &EMIT],
            (Self::DeadLetters, _) => vec![&SCHEMA, &DEAD_LETTERS],
            // The first one makes the schema.
            (Self::Inbox, _) => vec![&INBOX],
        }
    }

    /// What belongs to whom, once the roles are there.
    pub(super) fn rights(self, variant: Variant) -> Vec<&'static Migration> {
        match (self, variant) {
            (Self::Outbox, Variant::Rotating) => vec![&OUTBOX_RIGHTS, &ROTATING_RIGHTS],
            (Self::Outbox, Variant::Plain) => vec![&OUTBOX_RIGHTS],
            (Self::Outbox, Variant::Transient) => vec![&OUTBOX_RIGHTS, &TRANSIENT_RIGHTS],
            (Self::Outbox, Variant::View) => vec![&OUTBOX_RIGHTS, &VIEW_RIGHTS],
            (Self::DeadLetters, _) => vec![&DEAD_LETTERS_RIGHTS],
            (Self::Inbox, _) => vec![&INBOX_RIGHTS],
        }
    }
}

impl Variant {
    pub const ALL: [Self; 4] = [Self::Rotating, Self::Plain, Self::Transient, Self::View];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotating => "rotating",
            Self::Plain => "plain",
            Self::Transient => "transient",
            Self::View => "view",
        }
    }

    /// The file by which a database shows which variant it has.
    pub(super) const fn events(self) -> &'static Migration {
        match self {
            Self::Rotating => &ROTATING_EVENTS,
            Self::Plain => &PLAIN_EVENTS,
            Self::Transient => &TRANSIENT_EVENTS,
            Self::View => &VIEW_EVENTS,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! migration {
    ($version:literal, $name:literal, $what:literal) => {
        Migration {
            version: $version,
            name: $name,
            what: $what,
            sql: include_str!(concat!("../../../../migrations/", $name, ".sql")),
        }
    };
}

/// The table that says which files were applied; it comes with the first one of a schema.
pub(super) const BOOK: &str = include_str!("../../../../migrations/book/0001_migrations.sql");

pub(super) static SCHEMA: Migration =
    migration!(20261130010100, "outbox/0001_schema", "schema outbox");
static ROTATING_EVENTS: Migration =
    migration!(20261130010200, "outbox/rotating/0001_events", "table outbox.events");
static PLAIN_EVENTS: Migration =
    migration!(20261130010200, "outbox/plain/0001_events", "table outbox.events");
static TRANSIENT_EVENTS: Migration =
    migration!(20261130010200, "outbox/transient/0001_events", "table outbox.events");
static VIEW_EVENTS: Migration =
    migration!(20261130010200, "outbox/view/0001_events", "view outbox.events");
static GUARDS: Migration =
    migration!(20261130010300, "outbox/0002_guards", "limits of outbox.events");
static ROTATE: Migration =
    migration!(20261130010400, "outbox/rotating/0002_rotate", "function outbox.rotate");
static VIEW_WRITE: Migration =
    migration!(20261130010400, "outbox/view/0002_write", "trigger of outbox.events");
static EMIT: Migration = migration!(20261130010500, "outbox/0003_emit", "function outbox.emit");
pub(super) static DEAD_LETTERS: Migration =
    migration!(20261130020100, "dead_letters/0001_dead_letters", "table outbox.dead_letters");
static INBOX: Migration = migration!(20261130030100, "inbox/0001_inbox", "table inbox.messages");
pub(super) static ROLES: Migration =
    migration!(20261130040100, "roles/0001_roles", "roles that are missing");
pub(crate) static OUTBOX_RIGHTS: Migration =
    migration!(20261130050100, "outbox/0004_rights", "rights on the outbox");
static ROTATING_RIGHTS: Migration =
    migration!(20261130050200, "outbox/rotating/0003_rights", "rights on the leaves");
static TRANSIENT_RIGHTS: Migration =
    migration!(20261130050200, "outbox/transient/0002_rights", "rights on the trigger");
static VIEW_RIGHTS: Migration =
    migration!(20261130050200, "outbox/view/0003_rights", "rights on the trigger");
static DEAD_LETTERS_RIGHTS: Migration =
    migration!(20261130060100, "dead_letters/0002_rights", "rights on the dead letters");
static INBOX_RIGHTS: Migration =
    migration!(20261130070100, "inbox/0002_inbox_roles", "rights on the inbox");
