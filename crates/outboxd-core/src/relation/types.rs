//! Postgres types by their fixed oids: which of them can serve as which part of an event.

use std::borrow::Cow;

/// The types that a column may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    oids: &'static [u32],
    /// Types of users' own: enums, domains, citext. All that is known of them is how they print.
    user_defined: bool,
}

impl Accepted {
    pub(super) const ID: Self =
        Self { oids: &[UUID, TEXT, VARCHAR, BPCHAR, NAME], user_defined: true };
    pub(super) const TEXT: Self = Self { oids: &[TEXT, VARCHAR, BPCHAR, NAME], user_defined: true };
    pub(super) const KEY: Self =
        Self { oids: &[TEXT, VARCHAR, BPCHAR, NAME, UUID, INT8, INT4, INT2], user_defined: true };
    pub(super) const PAYLOAD: Self =
        Self { oids: &[JSONB, JSON, TEXT, VARCHAR, BPCHAR, BYTEA], user_defined: false };
    pub(super) const HEADERS: Self = Self { oids: &[JSONB, JSON], user_defined: false };
    pub(super) const TIME: Self = Self { oids: &[TIMESTAMPTZ, TIMESTAMP], user_defined: false };

    pub(super) fn contains(self, oid: u32) -> bool {
        self.oids.contains(&oid) || (self.user_defined && oid >= FIRST_USER_DEFINED)
    }

    /// The names of the accepted types, for an error.
    pub(super) fn describe(self) -> String {
        let names: Vec<_> = self.oids.iter().map(|&oid| type_name(oid)).collect();
        names.join(", ")
    }
}

/// The name of a built-in type, or its oid.
pub(super) fn type_name(oid: u32) -> Cow<'static, str> {
    NAMES.iter().find(|(known, _)| *known == oid).map_or_else(
        || Cow::Owned(format!("the type with oid {oid}")),
        |&(_, name)| Cow::Borrowed(name),
    )
}

pub(super) const BYTEA: u32 = 17;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;
/// Oids from here on are given out by a database, not by Postgres.
const FIRST_USER_DEFINED: u32 = 16_384;

const NAMES: [(u32, &str); 27] = [
    (BYTEA, "bytea"),
    (NAME, "name"),
    (INT8, "bigint"),
    (INT2, "smallint"),
    (INT4, "integer"),
    (TEXT, "text"),
    (JSON, "json"),
    (BPCHAR, "char"),
    (VARCHAR, "varchar"),
    (TIMESTAMP, "timestamp"),
    (TIMESTAMPTZ, "timestamptz"),
    (UUID, "uuid"),
    (JSONB, "jsonb"),
    (16, "boolean"),
    (26, "oid"),
    (142, "xml"),
    (700, "real"),
    (701, "double precision"),
    (1000, "boolean[]"),
    (1009, "text[]"),
    (1082, "date"),
    (1083, "time"),
    (1186, "interval"),
    (1266, "timetz"),
    (1700, "numeric"),
    (2951, "uuid[]"),
    (3807, "jsonb[]"),
];
