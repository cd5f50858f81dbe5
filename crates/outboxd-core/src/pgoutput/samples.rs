//! Arbitrary messages for the property tests: owned, so that a strategy can hold them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::encode;

/// Fixed parts as they are in a message, names and rows owned.
#[derive(Clone, Debug)]
pub(super) enum Sample {
    Begin(Begin),
    Commit(Commit),
    Origin(Lsn, String),
    Relation { id: u32, names: [String; 2], replica_identity: u8, columns: Vec<SampleColumn> },
    Type(u32, [String; 2]),
    Insert(u32, SampleRow),
    Update(u32, Option<(bool, SampleRow)>, SampleRow),
    Delete(u32, (bool, SampleRow)),
    Truncate(Truncate),
    Message { transactional: bool, lsn: Lsn, prefix: String, content: Vec<u8> },
}

/// Key flag, name, type, type modifier.
type SampleColumn = (bool, String, u32, i32);

#[derive(Clone, Debug)]
pub(super) struct SampleRow {
    pub(super) cells: Vec<SampleCell>,
    encoded: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) enum SampleCell {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

impl Sample {
    pub(super) fn message(&self) -> Message<'_> {
        match self {
            Self::Begin(begin) => Message::Begin(*begin),
            Self::Commit(commit) => Message::Commit(*commit),
            Self::Origin(commit_lsn, name) => {
                Message::Origin(Origin { commit_lsn: *commit_lsn, name })
            }
            Self::Relation { id, names: [namespace, name], replica_identity, columns } => {
                Message::Relation(Relation {
                    id: RelationId(*id),
                    namespace,
                    name,
                    replica_identity: *replica_identity,
                    columns: columns.iter().map(column).collect(),
                })
            }
            Self::Type(oid, [namespace, name]) => {
                Message::Type(Type { oid: *oid, namespace, name })
            }
            Self::Insert(relation, new) => {
                Message::Insert(Insert { relation: RelationId(*relation), new: new.tuple() })
            }
            Self::Update(relation, old, new) => Message::Update(Update {
                relation: RelationId(*relation),
                old: old.as_ref().map(old_tuple),
                new: new.tuple(),
            }),
            Self::Delete(relation, old) => {
                Message::Delete(Delete { relation: RelationId(*relation), old: old_tuple(old) })
            }
            Self::Truncate(truncate) => Message::Truncate(truncate.clone()),
            Self::Message { transactional, lsn, prefix, content } => {
                Message::Message(LogicalMessage {
                    transactional: *transactional,
                    lsn: *lsn,
                    prefix,
                    content,
                })
            }
        }
    }

    pub(super) fn encoded(&self) -> Vec<u8> {
        encode::message(&self.message())
    }
}

impl SampleRow {
    fn new(cells: Vec<SampleCell>) -> Self {
        let borrowed: Vec<_> = cells.iter().map(SampleCell::cell).collect();
        let encoded = encode::tuple(&borrowed);
        Self { cells, encoded }
    }

    pub(super) fn tuple(&self) -> Tuple<'_> {
        Tuple::decode(&self.encoded).expect("an encoded row decodes")
    }

    pub(super) fn cells(&self) -> Vec<Cell<'_>> {
        self.cells.iter().map(SampleCell::cell).collect()
    }
}

impl SampleCell {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Unchanged => Cell::Unchanged,
            Self::Text(value) => Cell::Text(value),
            Self::Binary(value) => Cell::Binary(value),
        }
    }

    /// Bytes on the wire: the kind, and for a value its length and itself.
    pub(super) fn wire_length(&self) -> usize {
        match self {
            Self::Null | Self::Unchanged => 1,
            Self::Text(value) | Self::Binary(value) => 1 + 4 + value.len(),
        }
    }
}

fn column((is_key, name, type_oid, type_modifier): &SampleColumn) -> Column<'_> {
    Column { is_key: *is_key, name, type_oid: *type_oid, type_modifier: *type_modifier }
}

fn old_tuple((full, row): &(bool, SampleRow)) -> OldTuple<'_> {
    if *full { OldTuple::Full(row.tuple()) } else { OldTuple::Key(row.tuple()) }
}

pub(super) fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        (lsn(), time(), any::<u32>()).prop_map(|(final_lsn, commit_time, xid)| {
            Sample::Begin(Begin { final_lsn, commit_time, xid: Xid(xid) })
        }),
        (lsn(), lsn(), time()).prop_map(|(commit_lsn, end_lsn, commit_time)| {
            Sample::Commit(Commit { commit_lsn, end_lsn, commit_time })
        }),
        (lsn(), name()).prop_map(|(lsn, name)| Sample::Origin(lsn, name)),
        relation(),
        (any::<u32>(), [name(), name()]).prop_map(|(oid, names)| Sample::Type(oid, names)),
        (any::<u32>(), row()).prop_map(|(relation, new)| Sample::Insert(relation, new)),
        (any::<u32>(), proptest::option::of((any::<bool>(), row())), row())
            .prop_map(|(relation, old, new)| Sample::Update(relation, old, new)),
        (any::<u32>(), (any::<bool>(), row()))
            .prop_map(|(relation, old)| Sample::Delete(relation, old)),
        truncate(),
        (any::<bool>(), lsn(), name(), value()).prop_map(
            |(transactional, lsn, prefix, content)| Sample::Message {
                transactional,
                lsn,
                prefix,
                content,
            }
        ),
    ]
}

pub(super) fn row() -> impl Strategy<Value = SampleRow> {
    let cell = prop_oneof![
        Just(SampleCell::Null),
        Just(SampleCell::Unchanged),
        value().prop_map(SampleCell::Text),
        value().prop_map(SampleCell::Binary),
    ];
    vec(cell, 0..9).prop_map(SampleRow::new)
}

fn relation() -> impl Strategy<Value = Sample> {
    let identity = proptest::sample::select(b"dnfi".as_slice());
    let column = (any::<bool>(), name(), any::<u32>(), any::<i32>());
    (any::<u32>(), [name(), name()], identity, vec(column, 0..6)).prop_map(
        |(id, names, replica_identity, columns)| Sample::Relation {
            id,
            names,
            replica_identity,
            columns,
        },
    )
}

fn truncate() -> impl Strategy<Value = Sample> {
    (any::<bool>(), any::<bool>(), vec(any::<u32>().prop_map(RelationId), 0..6)).prop_map(
        |(cascade, restart_identity, relations)| {
            Sample::Truncate(Truncate { cascade, restart_identity, relations })
        },
    )
}

fn lsn() -> impl Strategy<Value = Lsn> {
    any::<u64>().prop_map(Lsn::new)
}

fn time() -> impl Strategy<Value = PgTimestamp> {
    any::<i64>().prop_map(PgTimestamp::from_micros)
}

fn name() -> impl Strategy<Value = String> {
    "[^\\x00]{0,12}"
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}
