//! What holds for every message, whatever is in it, and for bytes that are none.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::samples::{SampleRow, row, sample};
use super::*;
use crate::encode;
use crate::wire::DecodeError;

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was_sent(sample in sample()) {
        let bytes = sample.encoded();
        prop_assert_eq!(Message::decode(&bytes), Ok(sample.message()));
    }

    #[test]
    fn a_row_gives_back_its_cells(row in row()) {
        let tuple = row.tuple();
        prop_assert_eq!(tuple.len(), row.cells.len());
        prop_assert_eq!(tuple.is_empty(), row.cells.is_empty());
        prop_assert_eq!(tuple.cells().len(), row.cells.len());
        prop_assert_eq!(tuple.cells().collect::<Vec<_>>(), row.cells());
    }

    #[test]
    fn an_insert_from_cells_is_the_insert_of_their_row(relation: u32, row in row()) {
        let relation = RelationId(relation);
        let insert = Message::Insert(Insert { relation, new: row.tuple() });
        prop_assert_eq!(encode::insert(relation, &row.cells()), encode::message(&insert));
    }

    #[test]
    fn a_message_cut_off_anywhere_is_an_error(sample in sample()) {
        let bytes = sample.encoded();
        for end in 0..bytes.len() {
            let error = Message::decode(&bytes[..end]).expect_err("a part is not the whole");
            let cut = matches!(error, DecodeError::Short { .. } | DecodeError::Unterminated { .. });
            prop_assert!(cut, "{} of {} bytes: {error}", end, bytes.len());
        }
    }

    #[test]
    fn bytes_behind_a_message_are_an_error(sample in sample(), more in vec(any::<u8>(), 1..9)) {
        let mut bytes = sample.encoded();
        bytes.extend(&more);
        let error = Message::decode(&bytes).expect_err("nothing may follow a message");
        let left = more.len();
        prop_assert!(matches!(error, DecodeError::Leftover { left: l, .. } if l == left), "{error}");
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..200)) {
        walk(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_known_kind_do_not_panic(
        kind in proptest::sample::select(b"BCORYIUDTM".as_slice()),
        mut bytes in vec(any::<u8>(), 1..200),
    ) {
        bytes[0] = kind;
        walk(&bytes);
    }

    #[test]
    fn mutated_messages_do_not_panic(
        sample in sample(),
        mutations in vec((any::<Index>(), mutation()), 1..5),
    ) {
        let mut bytes = sample.encoded();
        for (at, mutation) in mutations {
            mutation.apply(&mut bytes, at);
        }
        walk(&bytes);
    }

    #[test]
    fn the_start_of_an_insert_tells_the_cells_that_are_complete(relation: u32, row in row()) {
        let relation = RelationId(relation);
        let bytes = encode::insert(relation, &row.cells());
        for end in 0..=bytes.len() {
            let head = Insert::decode_prefix(&bytes[..end]);
            if end < HEAD_LENGTH {
                prop_assert!(matches!(head, Err(DecodeError::Short { .. })), "{end}: {head:?}");
                continue;
            }
            let mut cells = row.cells();
            cells.truncate(complete_cells(&row, end));
            prop_assert_eq!(head, Ok((relation, cells)));
        }
    }

    #[test]
    fn only_an_insert_has_a_start_to_tell(sample in sample()) {
        let bytes = sample.encoded();
        let expected = match sample.message() {
            Message::Insert(insert) => Ok((insert.relation, insert.new.cells().collect())),
            _ => Err(DecodeError::Unknown { what: "message kind", found: bytes[0] }),
        };
        prop_assert_eq!(Insert::decode_prefix(&bytes), expected);
    }
}

/// Decodes `bytes` and, if they make sense, uses everything that decoding promised to be sound:
/// what was understood must be exactly what is there.
fn walk(bytes: &[u8]) {
    let head = Insert::decode_prefix(bytes);
    let Ok(message) = Message::decode(bytes) else { return };
    assert_eq!(encode::message(&message), bytes);
    if let Message::Insert(insert) = message {
        assert_eq!(head, Ok((insert.relation, insert.new.cells().collect())));
    }
}

/// How many cells of `row` end within the first `end` bytes of its insert.
fn complete_cells(row: &SampleRow, end: usize) -> usize {
    let ends = row.cells.iter().scan(HEAD_LENGTH, |position, cell| {
        *position += cell.wire_length();
        Some(*position)
    });
    ends.take_while(|cell_end| *cell_end <= end).count()
}

/// Kind, relation, kind of row, column count.
const HEAD_LENGTH: usize = 1 + 4 + 1 + 2;

#[derive(Clone, Debug)]
enum Mutation {
    Replace(u8),
    Insert(u8),
    Remove,
    /// A 32-bit number, as a length or count that is far off would be.
    Number(u32),
    CutOff,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let extremes = [0, 1, 0xFF, 0x7FFF, 0x8000, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
    prop_oneof![
        any::<u8>().prop_map(Mutation::Replace),
        any::<u8>().prop_map(Mutation::Insert),
        Just(Mutation::Remove),
        proptest::sample::select(extremes.to_vec()).prop_map(Mutation::Number),
        Just(Mutation::CutOff),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, at: Index) {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match self {
            Self::Replace(byte) => bytes[at] = *byte,
            Self::Insert(byte) => bytes.insert(at, *byte),
            Self::Remove => drop(bytes.remove(at)),
            Self::Number(number) => {
                bytes[at..].iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
            }
            Self::CutOff => bytes.truncate(at),
        }
    }
}
