//! The layout of each message, as a table: one line per field, in the order of the wire.
//!
//! Fields of a struct expression are evaluated in the order in which they are written, so these
//! read the bytes in that order, whatever the order of the declarations.

use super::tuple::{self, Cell, Tuple};
use super::{
    Begin, Column, Commit, Delete, Insert, LogicalMessage, Message, OldTuple, Origin, Relation,
    RelationId, Truncate, Type, Update, Xid,
};
use crate::wire::{DecodeError, Input};

impl<'a> Message<'a> {
    /// Decodes the body of an `XLogData` frame.
    ///
    /// Allocates for `Relation` and `Truncate` only, and there no more than in proportion to the
    /// bytes that are really there.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        match input.byte(MESSAGE_KIND)? {
            b'I' => input.whole("Insert", Insert::read).map(Self::Insert),
            b'B' => input.whole("Begin", Begin::read).map(Self::Begin),
            b'C' => input.whole("Commit", Commit::read).map(Self::Commit),
            b'M' => input.whole("Message", LogicalMessage::read).map(Self::Message),
            b'R' => input.whole("Relation", Relation::read).map(Self::Relation),
            b'Y' => input.whole("Type", Type::read).map(Self::Type),
            b'O' => input.whole("Origin", Origin::read).map(Self::Origin),
            b'U' => input.whole("Update", Update::read).map(Self::Update),
            b'D' => input.whole("Delete", Delete::read).map(Self::Delete),
            b'T' => input.whole("Truncate", Truncate::read).map(Self::Truncate),
            found => Err(DecodeError::Unknown { what: MESSAGE_KIND, found }),
        }
    }
}

impl<'a> Insert<'a> {
    /// What can be told of an `Insert` too large to be held, from its first bytes: its relation and
    /// the leading cells that are complete in `prefix`. The prefix starts with the message, not
    /// with its frame, and must reach past the column count.
    pub fn decode_prefix(prefix: &'a [u8]) -> Result<(RelationId, Vec<Cell<'a>>), DecodeError> {
        Input::new(prefix).whole("Insert", |input| {
            expect_kind(input, MESSAGE_KIND, b'I')?;
            let relation = RelationId(input.u32("relation of Insert")?);
            expect_kind(input, ROW_KIND, b'N')?;
            Ok((relation, tuple::leading_cells(input)?))
        })
    }

    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self { relation: RelationId(input.u32("relation of Insert")?), new: new_row(input)? })
    }
}

impl<'a> LogicalMessage<'a> {
    /// A `Message` too large to be held, from its first bytes: its content ends where they do. They
    /// must reach past the prefix.
    pub fn decode_prefix(prefix: &'a [u8]) -> Result<Self, DecodeError> {
        Input::new(prefix).whole("Message", |input| {
            expect_kind(input, MESSAGE_KIND, b'M')?;
            Ok(Self {
                transactional: input.flag("flags of Message")?,
                lsn: input.lsn("LSN of Message")?,
                prefix: input.text("prefix of Message")?,
                content: {
                    input.count("length of Message")?;
                    input.remainder()
                },
            })
        })
    }
}

impl Begin {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            final_lsn: input.lsn("final LSN of Begin")?,
            commit_time: input.timestamp("commit time of Begin")?,
            xid: Xid(input.u32("transaction id of Begin")?),
        })
    }
}

impl Commit {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.flags("flags of Commit", 0)?;
        Ok(Self {
            commit_lsn: input.lsn("commit LSN of Commit")?,
            end_lsn: input.lsn("end LSN of Commit")?,
            commit_time: input.timestamp("commit time of Commit")?,
        })
    }
}

impl<'a> LogicalMessage<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            transactional: input.flag("flags of Message")?,
            lsn: input.lsn("LSN of Message")?,
            prefix: input.text("prefix of Message")?,
            content: input.counted("length of Message content", "content of Message")?,
        })
    }
}

impl<'a> Relation<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: RelationId(input.u32("id of Relation")?),
            namespace: input.text("namespace of Relation")?,
            name: input.text("name of Relation")?,
            replica_identity: replica_identity(input)?,
            columns: (0..input.short_count("column count of Relation")?)
                .map(|_| Column::read(input))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> Column<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            is_key: input.flag("flags of Relation column")?,
            name: input.text("name of Relation column")?,
            type_oid: input.u32("type of Relation column")?,
            type_modifier: input.i32("type modifier of Relation column")?,
        })
    }
}

impl<'a> Type<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            oid: input.u32("oid of Type")?,
            namespace: input.text("namespace of Type")?,
            name: input.text("name of Type")?,
        })
    }
}

impl<'a> Origin<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            commit_lsn: input.lsn("commit LSN of Origin")?,
            name: input.text("name of Origin")?,
        })
    }
}

impl<'a> Update<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            relation: RelationId(input.u32("relation of Update")?),
            old: match input.peek() {
                Some(b'K' | b'O') => Some(OldTuple::read(input)?),
                _ => None,
            },
            new: new_row(input)?,
        })
    }
}

impl<'a> Delete<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            relation: RelationId(input.u32("relation of Delete")?),
            old: OldTuple::read(input)?,
        })
    }
}

impl<'a> OldTuple<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        match input.byte(ROW_KIND)? {
            b'K' => Tuple::read(input).map(Self::Key),
            b'O' => Tuple::read(input).map(Self::Full),
            found => Err(DecodeError::Unknown { what: ROW_KIND, found }),
        }
    }
}

impl Truncate {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let count = input.count("relation count of Truncate")?;
        let options = input.flags("options of Truncate", CASCADE | RESTART_IDENTITY)?;
        Ok(Self {
            cascade: options & CASCADE != 0,
            restart_identity: options & RESTART_IDENTITY != 0,
            relations: (0..count)
                .map(|_| input.u32("relation of Truncate").map(RelationId))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn new_row<'a>(input: &mut Input<'a>) -> Result<Tuple<'a>, DecodeError> {
    expect_kind(input, ROW_KIND, b'N')?;
    Tuple::read(input)
}

fn expect_kind(input: &mut Input<'_>, what: &'static str, kind: u8) -> Result<(), DecodeError> {
    match input.byte(what)? {
        found if found == kind => Ok(()),
        found => Err(DecodeError::Unknown { what, found }),
    }
}

fn replica_identity(input: &mut Input<'_>) -> Result<u8, DecodeError> {
    const WHAT: &str = "replica identity of Relation";
    match input.byte(WHAT)? {
        known @ (b'd' | b'n' | b'f' | b'i') => Ok(known),
        found => Err(DecodeError::Unknown { what: WHAT, found }),
    }
}

const MESSAGE_KIND: &str = "message kind";
const ROW_KIND: &str = "kind of row";
const CASCADE: u8 = 1;
const RESTART_IDENTITY: u8 = 2;
