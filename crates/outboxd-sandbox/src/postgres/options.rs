//! What a caller may choose about a Postgres server.

use std::fmt;

/// A major version of Postgres that outboxd supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PgVersion {
    V14,
    V15,
    V16,
    V17,
    V18,
}

impl PgVersion {
    pub const ALL: [Self; 5] = [Self::V14, Self::V15, Self::V16, Self::V17, Self::V18];

    pub fn major(self) -> u8 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }
}

impl fmt::Display for PgVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.major().fmt(f)
    }
}

#[derive(Clone, Debug)]
pub struct PgOptions {
    pub version: PgVersion,
    /// Lines of postgresql.conf as (name, unquoted value); they win over the sandbox's own.
    pub settings: Vec<(String, String)>,
    /// Lines of pg_hba.conf in place of "trust everybody local".
    pub hba: Option<Vec<String>>,
    /// Files put into the data folder, readable by the server only, such as TLS certificates.
    pub files: Vec<(String, Vec<u8>)>,
    /// Added to initdb's arguments. A server with any does not come from the cached template.
    pub initdb_args: Vec<String>,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            version: PgVersion::V17,
            settings: Vec::new(),
            hba: None,
            files: Vec::new(),
            initdb_args: Vec::new(),
        }
    }
}

impl PgOptions {
    pub fn of(version: PgVersion) -> Self {
        Self { version, ..Self::default() }
    }
}

/// How Postgres is told to stop, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for every client to leave.
    Smart,
    /// Ends sessions, writes a checkpoint, waits for walsenders to send what is left.
    Fast,
    /// Ends without a checkpoint: the next start recovers as after a crash.
    Immediate,
}

/// What every sandbox server is configured with; `PgOptions::settings` come after and win.
pub(crate) const BASE_SETTINGS: &[(&str, &str)] = &[
    ("wal_level", "logical"),
    ("max_wal_senders", "20"),
    ("max_replication_slots", "20"),
    ("max_prepared_transactions", "20"),
    ("log_line_prefix", "%m [%p] %b "),
];
