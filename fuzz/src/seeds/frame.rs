//! One frame of every kind.

use outboxd_core::encode;
use outboxd_core::lsn::Lsn;
use outboxd_core::pgoutput::{
    Begin, Cell, Commit, Delete, LogicalMessage, Message, OldTuple, Origin, RelationId, Truncate,
    Tuple, Type, Update, Xid,
};
use outboxd_core::time::PgTimestamp;
use outboxd_core::wire::{Frame, StatusUpdate};

use super::rows;
use crate::outbox::{self, EVENTS};

pub(super) fn frame() -> Vec<Vec<u8>> {
    let bodies = fixed().into_iter().chain(with_rows()).chain(events());
    let mut frames: Vec<_> = bodies.map(|body| in_frame(&body)).collect();
    for reply_requested in [false, true] {
        frames.push(encode::frame(&Frame::Keepalive { wal_end: AT, sent: SENT, reply_requested }));
    }
    let status =
        StatusUpdate { write: AT, flush: AT, apply: AT, clock: SENT, reply_requested: false };
    frames.push(status.encode().to_vec());
    frames
}

pub(super) fn in_frame(body: &[u8]) -> Vec<u8> {
    encode::frame(&Frame::XLogData { start: AT, end: AT, sent: SENT, body })
}

fn fixed() -> Vec<Vec<u8>> {
    let relations = vec![EVENTS, RelationId(7)];
    let messages = [
        Message::Begin(Begin { final_lsn: AT, commit_time: SENT, xid: Xid(812) }),
        Message::Commit(Commit { commit_lsn: AT, end_lsn: AFTER, commit_time: SENT }),
        Message::Origin(Origin { commit_lsn: AT, name: "elsewhere" }),
        Message::Relation(outbox::events(EVENTS)),
        Message::Type(Type { oid: 16_500, namespace: "outbox", name: "mood" }),
        Message::Truncate(Truncate { cascade: true, restart_identity: true, relations }),
    ];
    let contents = rows::CONTENTS.iter().map(|content| {
        let (transactional, lsn, content) = (true, AT, content.as_bytes());
        Message::Message(LogicalMessage { transactional, lsn, prefix: outbox::PREFIX, content })
    });
    messages.into_iter().chain(contents).map(|message| encode::message(&message)).collect()
}

fn with_rows() -> Vec<Vec<u8>> {
    let row = encode::tuple(&[Cell::Text(b"a"), Cell::Null, Cell::Unchanged, Cell::Binary(b"\0")]);
    let row = Tuple::decode(&row).expect("an encoded row decodes");
    let relation = EVENTS;
    let update = |old| encode::message(&Message::Update(Update { relation, old, new: row }));
    let delete = |old| encode::message(&Message::Delete(Delete { relation, old }));
    vec![
        update(None),
        update(Some(OldTuple::Key(row))),
        update(Some(OldTuple::Full(row))),
        delete(OldTuple::Key(row)),
        delete(OldTuple::Full(row)),
    ]
}

fn events() -> impl Iterator<Item = Vec<u8>> {
    let plain = rows::event("1", "order", "k");
    std::iter::once(plain).chain(rows::VALUES.map(rows::rich_event))
}

const AT: Lsn = Lsn::new(0x16_B374_D800);
const AFTER: Lsn = Lsn::new(0x16_B374_D830);
const SENT: PgTimestamp = PgTimestamp::from_micros(848_000_000_000_000);
