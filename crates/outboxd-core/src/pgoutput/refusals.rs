//! Bytes that are no message, and the error that says what is wrong with them.

use super::*;
use crate::wire::DecodeError;

#[track_caller]
fn refused(bytes: &[u8], message: &str) {
    let error = Message::decode(bytes).expect_err("bytes that the protocol does not know");
    assert_eq!(error.to_string(), message);
}

#[test]
fn only_a_cut_makes_the_start_of_an_insert_incomplete() {
    let negative = DecodeError::Negative { what: "length of column value", found: -1 };
    let bytes = b"I\x00\x00\x40\x01N\x00\x02nt\xFF\xFF\xFF\xFF";
    assert_eq!(Insert::decode_prefix(bytes), Err(negative));

    let unknown = DecodeError::Unknown { what: "kind of column value", found: b'x' };
    assert_eq!(Insert::decode_prefix(b"I\x00\x00\x40\x01N\x00\x02nx"), Err(unknown));

    let unknown = DecodeError::Unknown { what: "kind of row", found: b'K' };
    assert_eq!(Insert::decode_prefix(b"I\x00\x00\x40\x01K\x00\x01n"), Err(unknown));

    let leftover = DecodeError::Leftover { what: "Insert", left: 2 };
    assert_eq!(Insert::decode_prefix(b"I\x00\x00\x40\x01N\x00\x01nnn"), Err(leftover));
}

#[test]
fn kinds_and_flags_that_the_protocol_does_not_know_are_refused() {
    refused(b"", "message kind is cut off: 1 bytes needed, 0 left");
    // A streamed transaction, which protocol version 1 does not have.
    refused(b"S\x00\x00\x02\xEA\x01", "unknown message kind: 0x53");
    refused(b"I\x00\x00\x40\x01K\x00\x00", "unknown kind of row: 0x4b");
    refused(b"I\x00\x00\x40\x01N\x00\x01x", "unknown kind of column value: 0x78");
    refused(b"U\x00\x00\x40\x01X\x00\x00", "unknown kind of row: 0x58");
    refused(b"U\x00\x00\x40\x01K\x00\x00O\x00\x00", "unknown kind of row: 0x4f");
    refused(b"D\x00\x00\x40\x01N\x00\x00", "unknown kind of row: 0x4e");
    refused(b"C\x01", "unknown flags of Commit: 0x01");
    refused(b"M\x02", "unknown flags of Message: 0x02");
    refused(b"T\x00\x00\x00\x00\x04", "unknown options of Truncate: 0x04");
    refused(b"R\x00\x00\x40\x01\0t\0x", "unknown replica identity of Relation: 0x78");
    refused(b"R\x00\x00\x40\x01\0t\0d\x00\x01\x02", "unknown flags of Relation column: 0x02");
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let negative_value = b"I\x00\x00\x40\x01N\x00\x01t\xFF\xFF\xFF\xFE";
    refused(negative_value, "negative length of column value: -2");
    refused(b"I\x00\x00\x40\x01N\xFF\xFF", "negative column count of row: -1");
    refused(b"R\x00\x00\x40\x01\0t\0d\x80\x00", "negative column count of Relation: -32768");
    refused(b"T\xFF\xFF\xFF\xFF\x00", "negative relation count of Truncate: -1");
    refused(
        b"M\x01\x00\x00\x00\x00\x00\x00\x00\x00\0\x80\x00\x00\x00",
        "negative length of Message content: -2147483648",
    );

    let long_value = b"I\x00\x00\x40\x01N\x00\x01t\x7F\xFF\xFF\xFFabc";
    refused(long_value, "column value is cut off: 2147483647 bytes needed, 3 left");
    refused(
        b"T\x7F\xFF\xFF\xFF\x00\x00\x00\x40\x01",
        "relation of Truncate is cut off: 4 bytes needed, 0 left",
    );
    refused(b"I\x00\x00\x40\x01N\x00\x00\0", "1 bytes after the end of Insert");
}

#[test]
fn names_that_are_no_text_are_refused() {
    refused(b"O\x00\x00\x00\x00\x01\x6B\x37\x48upstream", "name of Origin has no end mark");
    refused(b"Y\x00\x00\x40\x21\xFF\0mood\0", "namespace of Type is not UTF-8");
}

#[test]
fn an_announced_column_count_reserves_no_memory() {
    let (_, cells) = Insert::decode_prefix(b"I\x00\x00\x40\x01N\x7F\xFFnn").expect("a cut-off row");
    assert_eq!(cells, [Cell::Null, Cell::Null]);
    assert!(cells.capacity() < 16, "{}", cells.capacity());
}
