//! The server's side of the stream: encoders for every frame and message, for whoever plays the
//! server in a test. Not part of the relay.
//!
//! Lengths are asserted, not returned as errors: the values come from the test itself.

use crate::lsn::Lsn;
use crate::pgoutput::{Cell, Column, Message, OldTuple, Relation, RelationId, Truncate, Tuple};
use crate::wire::Frame;

/// The content of one CopyData.
pub fn frame(frame: &Frame<'_>) -> Vec<u8> {
    let mut output = Output::default();
    match *frame {
        Frame::XLogData { start, end, sent, body } => {
            output.byte(b'w').lsn(start).lsn(end).i64(sent.as_micros()).bytes(body);
        }
        Frame::Keepalive { wal_end, sent, reply_requested } => {
            output.byte(b'k').lsn(wal_end).i64(sent.as_micros()).byte(reply_requested.into());
        }
    }
    output.0
}

/// The body of an `XLogData` frame.
pub fn message(message: &Message<'_>) -> Vec<u8> {
    let mut output = Output::default();
    match message {
        Message::Begin(it) => {
            output.byte(b'B').lsn(it.final_lsn).i64(it.commit_time.as_micros()).u32(it.xid.0);
        }
        Message::Commit(it) => {
            output.byte(b'C').byte(0).lsn(it.commit_lsn).lsn(it.end_lsn);
            output.i64(it.commit_time.as_micros());
        }
        Message::Origin(it) => {
            output.byte(b'O').lsn(it.commit_lsn).text(it.name);
        }
        Message::Relation(it) => output.relation(it),
        Message::Type(it) => {
            output.byte(b'Y').u32(it.oid).text(it.namespace).text(it.name);
        }
        Message::Insert(it) => {
            output.byte(b'I').u32(it.relation.0).row(b'N', &it.new);
        }
        Message::Update(it) => {
            output.byte(b'U').u32(it.relation.0);
            it.old.iter().for_each(|old| output.old_row(old));
            output.row(b'N', &it.new);
        }
        Message::Delete(it) => output.byte(b'D').u32(it.relation.0).old_row(&it.old),
        Message::Truncate(it) => output.truncate(it),
        Message::Message(it) => {
            output.byte(b'M').byte(it.transactional.into()).lsn(it.lsn);
            output.text(it.prefix).counted(it.content);
        }
    }
    output.0
}

/// An `Insert` message, without the detour of a decoded row.
pub fn insert(relation: RelationId, cells: &[Cell<'_>]) -> Vec<u8> {
    let mut output = Output::default();
    output.byte(b'I').u32(relation.0).byte(b'N').cells(cells.len(), cells.iter().copied());
    output.0
}

/// A row that [`Tuple::decode`] reads back, to be put into a [`Message`].
pub fn tuple(cells: &[Cell<'_>]) -> Vec<u8> {
    let mut output = Output::default();
    output.cells(cells.len(), cells.iter().copied());
    output.0
}

#[derive(Default)]
struct Output(Vec<u8>);

impl Output {
    fn relation(&mut self, relation: &Relation<'_>) {
        self.byte(b'R').u32(relation.id.0).text(relation.namespace).text(relation.name);
        self.byte(relation.replica_identity).short_count(relation.columns.len());
        for Column { is_key, name, type_oid, type_modifier } in &relation.columns {
            self.byte((*is_key).into()).text(name).u32(*type_oid).i32(*type_modifier);
        }
    }

    fn truncate(&mut self, truncate: &Truncate) {
        let options = u8::from(truncate.cascade) | u8::from(truncate.restart_identity) << 1;
        self.byte(b'T').count(truncate.relations.len()).byte(options);
        for relation in &truncate.relations {
            self.u32(relation.0);
        }
    }

    fn old_row(&mut self, old: &OldTuple<'_>) {
        match old {
            OldTuple::Key(row) => self.row(b'K', row),
            OldTuple::Full(row) => self.row(b'O', row),
        }
    }

    fn row(&mut self, kind: u8, row: &Tuple<'_>) {
        self.byte(kind).cells(row.len(), row.cells());
    }

    fn cells<'a>(&mut self, count: usize, cells: impl Iterator<Item = Cell<'a>>) {
        self.short_count(count);
        for cell in cells {
            match cell {
                Cell::Null => self.byte(b'n'),
                Cell::Unchanged => self.byte(b'u'),
                Cell::Text(value) => self.byte(b't').counted(value),
                Cell::Binary(value) => self.byte(b'b').counted(value),
            };
        }
    }

    fn counted(&mut self, value: &[u8]) -> &mut Self {
        self.count(value.len()).bytes(value)
    }

    fn text(&mut self, text: &str) -> &mut Self {
        assert!(!text.contains('\0'), "the protocol ends text with a zero byte: {text:?}");
        self.bytes(text.as_bytes()).byte(0)
    }

    fn short_count(&mut self, count: usize) -> &mut Self {
        let count = i16::try_from(count).expect("the protocol counts columns in 15 bits");
        self.bytes(&count.to_be_bytes())
    }

    fn count(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).expect("the protocol counts in 31 bits"))
    }

    fn lsn(&mut self, lsn: Lsn) -> &mut Self {
        self.bytes(&lsn.as_u64().to_be_bytes())
    }

    fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes(&[byte])
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}
