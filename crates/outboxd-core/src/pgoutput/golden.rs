//! Messages written down byte by byte from the PostgreSQL documentation. They pin what a round
//! trip cannot see: the layout itself.

use super::*;
use crate::encode;

/// The bytes are the message, in both directions.
#[track_caller]
fn golden(bytes: &[u8], message: &Message<'_>) {
    assert_eq!(Message::decode(bytes).as_ref(), Ok(message));
    assert_eq!(encode::message(message), bytes);
}

fn row(bytes: &[u8]) -> Tuple<'_> {
    Tuple::decode(bytes).expect("a well-formed row")
}

#[test]
fn begin() {
    let bytes = b"B\
        \x00\x00\x00\x16\xB3\x74\xD8\x48\
        \x00\x02\x9D\x4F\x12\x34\x56\x78\
        \x00\x00\x02\xEA";
    let expected = Begin {
        final_lsn: Lsn::new(0x16_B374_D848),
        commit_time: PgTimestamp::from_micros(0x0002_9D4F_1234_5678),
        xid: Xid(746),
    };
    golden(bytes, &Message::Begin(expected));
}

#[test]
fn commit() {
    let bytes = b"C\x00\
        \x00\x00\x00\x16\xB3\x74\xD8\x48\
        \x00\x00\x00\x16\xB3\x74\xD8\x78\
        \x00\x02\x9D\x4F\x12\x34\x56\x78";
    let expected = Commit {
        commit_lsn: Lsn::new(0x16_B374_D848),
        end_lsn: Lsn::new(0x16_B374_D878),
        commit_time: PgTimestamp::from_micros(0x0002_9D4F_1234_5678),
    };
    golden(bytes, &Message::Commit(expected));
}

#[test]
fn origin() {
    let bytes = b"O\x00\x00\x00\x00\x01\x6B\x37\x48upstream\0";
    let expected = Origin { commit_lsn: Lsn::new(0x16B_3748), name: "upstream" };
    golden(bytes, &Message::Origin(expected));
}

#[test]
fn relation() {
    let bytes = b"R\x00\x00\x40\x01outbox\0events\0d\x00\x02\
        \x01id\0\x00\x00\x0B\x86\xFF\xFF\xFF\xFF\
        \x00type\0\x00\x00\x04\x13\x00\x00\x01\x03";
    let expected = Relation {
        id: RelationId(16385),
        namespace: "outbox",
        name: "events",
        replica_identity: b'd',
        columns: vec![
            Column { is_key: true, name: "id", type_oid: 2950, type_modifier: -1 },
            Column { is_key: false, name: "type", type_oid: 1043, type_modifier: 259 },
        ],
    };
    golden(bytes, &Message::Relation(expected));
}

#[test]
fn relation_of_the_catalog_has_an_empty_namespace() {
    let bytes = b"R\x00\x00\x04\xEB\0pg_type\0n\x00\x00";
    let expected = Relation {
        id: RelationId(1259),
        namespace: "",
        name: "pg_type",
        replica_identity: b'n',
        columns: vec![],
    };
    golden(bytes, &Message::Relation(expected));
}

#[test]
fn type_() {
    let bytes = b"Y\x00\x00\x40\x21public\0mood\0";
    golden(bytes, &Message::Type(Type { oid: 16417, namespace: "public", name: "mood" }));
}

#[test]
fn insert() {
    let bytes = b"I\x00\x00\x40\x01N\x00\x04\
        t\x00\x00\x00\x02{}\
        n\
        t\x00\x00\x00\x00\
        b\x00\x00\x00\x01\xFF";
    let new = row(&bytes[6..]);
    golden(bytes, &Message::Insert(Insert { relation: RelationId(16385), new }));
    let cells = [Cell::Text(b"{}"), Cell::Null, Cell::Text(b""), Cell::Binary(b"\xFF")];
    assert_eq!(new.cells().collect::<Vec<_>>(), cells);
}

#[test]
fn update_without_old_row() {
    let bytes = b"U\x00\x00\x40\x01N\x00\x02t\x00\x00\x00\x011u";
    let new = row(&bytes[6..]);
    golden(bytes, &Message::Update(Update { relation: RelationId(16385), old: None, new }));
    assert_eq!(new.cells().collect::<Vec<_>>(), [Cell::Text(b"1"), Cell::Unchanged]);
}

#[test]
fn update_with_old_key() {
    let bytes = b"U\x00\x00\x40\x01\
        K\x00\x01t\x00\x00\x00\x011\
        N\x00\x01t\x00\x00\x00\x012";
    let old = Some(OldTuple::Key(row(&bytes[6..14])));
    let new = row(&bytes[15..]);
    golden(bytes, &Message::Update(Update { relation: RelationId(16385), old, new }));
}

#[test]
fn update_with_old_row() {
    let bytes = b"U\x00\x00\x40\x01O\x00\x01nN\x00\x01t\x00\x00\x00\x012";
    let old = Some(OldTuple::Full(row(&bytes[6..9])));
    let new = row(&bytes[10..]);
    golden(bytes, &Message::Update(Update { relation: RelationId(16385), old, new }));
}

#[test]
fn delete_by_key_or_row() {
    let bytes = b"D\x00\x00\x40\x01K\x00\x01t\x00\x00\x00\x011";
    let old = OldTuple::Key(row(&bytes[6..]));
    golden(bytes, &Message::Delete(Delete { relation: RelationId(16385), old }));

    let bytes = b"D\x00\x00\x40\x01O\x00\x01n";
    let old = OldTuple::Full(row(&bytes[6..]));
    golden(bytes, &Message::Delete(Delete { relation: RelationId(16385), old }));
}

#[test]
fn truncate() {
    let bytes = b"T\x00\x00\x00\x02\x01\x00\x00\x40\x01\x00\x00\x40\x02";
    let relations = vec![RelationId(16385), RelationId(16386)];
    let expected = Truncate { cascade: true, restart_identity: false, relations };
    golden(bytes, &Message::Truncate(expected));

    let bytes = b"T\x00\x00\x00\x00\x02";
    let expected = Truncate { cascade: false, restart_identity: true, relations: vec![] };
    golden(bytes, &Message::Truncate(expected));
}

#[test]
fn logical_message() {
    let bytes = b"M\x01\x00\x00\x00\x00\x01\x6B\x37\x48outbox\0\x00\x00\x00\x03a\0b";
    let mut expected = LogicalMessage {
        transactional: true,
        lsn: Lsn::new(0x16B_3748),
        prefix: "outbox",
        content: b"a\0b",
    };
    golden(bytes, &Message::Message(expected));

    let bytes = b"M\x00\x00\x00\x00\x00\x01\x6B\x37\x48\0\x00\x00\x00\x00";
    (expected.transactional, expected.prefix, expected.content) = (false, "", b"");
    golden(bytes, &Message::Message(expected));
}

#[test]
fn the_start_of_an_insert_names_the_event() {
    let prefix = b"I\x00\x00\x40\x01N\x00\x03t\x00\x00\x00\x02idnt\x7F\xFF\xFF\xFF{\"large";
    let expected = (RelationId(16385), vec![Cell::Text(b"id"), Cell::Null]);
    assert_eq!(Insert::decode_prefix(prefix), Ok(expected));
}
