//! Decoder of the logical replication stream of the `pgoutput` plugin, protocol version 1, text
//! format (PostgreSQL documentation, "Logical Replication Message Formats").
//!
//! Decoding copies nothing: every message borrows from the frame. Every short, unknown or leftover
//! byte is an error, because the bytes come from a network. What a message means, and whether its
//! relation is one of ours, is not decided here.

mod decode;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod samples;
mod tuple;

use std::fmt;

use crate::lsn::Lsn;
use crate::time::PgTimestamp;

pub use tuple::{Cell, Cells, Tuple};

/// A transaction id.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Xid(pub u32);

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The oid of a table, as the stream names it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RelationId(pub u32);

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    Begin(Begin),
    Commit(Commit),
    Origin(Origin<'a>),
    Relation(Relation<'a>),
    Type(Type<'a>),
    Insert(Insert<'a>),
    Update(Update<'a>),
    Delete(Delete<'a>),
    Truncate(Truncate),
    Message(LogicalMessage<'a>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Begin {
    /// The commit LSN of the transaction.
    pub final_lsn: Lsn,
    pub commit_time: PgTimestamp,
    pub xid: Xid,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Commit {
    pub commit_lsn: Lsn,
    pub end_lsn: Lsn,
    pub commit_time: PgTimestamp,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin<'a> {
    pub commit_lsn: Lsn,
    pub name: &'a str,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Relation<'a> {
    pub id: RelationId,
    /// Empty for `pg_catalog`.
    pub namespace: &'a str,
    pub name: &'a str,
    pub replica_identity: u8,
    pub columns: Vec<Column<'a>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Column<'a> {
    pub is_key: bool,
    pub name: &'a str,
    pub type_oid: u32,
    pub type_modifier: i32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Type<'a> {
    pub oid: u32,
    pub namespace: &'a str,
    pub name: &'a str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Insert<'a> {
    pub relation: RelationId,
    pub new: Tuple<'a>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Update<'a> {
    pub relation: RelationId,
    pub old: Option<OldTuple<'a>>,
    pub new: Tuple<'a>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delete<'a> {
    pub relation: RelationId,
    pub old: OldTuple<'a>,
}

/// What the replica identity of the table let the server send of the former row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OldTuple<'a> {
    Key(Tuple<'a>),
    Full(Tuple<'a>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Truncate {
    pub cascade: bool,
    pub restart_identity: bool,
    pub relations: Vec<RelationId>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogicalMessage<'a> {
    pub transactional: bool,
    pub lsn: Lsn,
    pub prefix: &'a str,
    pub content: &'a [u8],
}
