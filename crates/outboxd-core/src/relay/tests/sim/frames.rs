//! A transaction as the server sends it, with keepalives in between.

use std::collections::VecDeque;

use super::chance::Chance;
use super::postgres::{Change, Transaction};
use super::truth::{Event, KINDS, name};
use crate::encode;
use crate::lsn::Lsn;
use crate::pgoutput::{
    Begin, Cell, Column, Commit, LogicalMessage, Message, Relation, RelationId, Xid,
};
use crate::relay::tests::PREFIX;
use crate::time::PgTimestamp;
use crate::wire::Frame;

pub(super) fn keepalive(wal_end: Lsn, reply_requested: bool) -> Vec<u8> {
    encode::frame(&Frame::Keepalive { wal_end, sent: PgTimestamp::default(), reply_requested })
}

/// Relations are announced before their first row of the session, and again when their layout is
/// another.
pub(super) fn of(
    transaction: &Transaction,
    events: &[Event],
    announced: &mut [Option<u8>; 2],
    chance: &mut Chance,
    frames: &mut VecDeque<Vec<u8>>,
) {
    let &Transaction { xid, commit_lsn, end_lsn, time_us, layout, row_lsn, .. } = transaction;
    let commit_time = PgTimestamp::from_micros(time_us);
    let begin = Begin { final_lsn: commit_lsn, commit_time, xid: Xid(xid) };
    if chance.one_in(8) {
        // Not even with our prefix is it an event.
        let prefix = if chance.one_in(2) { PREFIX } else { "somebody" };
        frames.push_back(data(row_lsn, &message(false, prefix, "alone")));
    }
    frames.push_back(data(row_lsn, &encode::message(&Message::Begin(begin))));
    for change in &transaction.changes {
        let table = usize::from(matches!(change, Change::OtherRow));
        let is_row = match *change {
            Change::Event(id) => !events[id].is_message,
            Change::OtherRow => true,
            Change::Message => false,
        };
        if is_row && announced[table].replace(layout) != Some(layout) {
            frames.push_back(data(Lsn::ZERO, &relation(table, layout)));
        }
        if chance.one_in(8) {
            // Inside a transaction its end is never past the commit record.
            frames.push_back(keepalive(commit_lsn, chance.one_in(3)));
        }
        let body = match *change {
            Change::Event(id) if events[id].is_message => event_message(&events[id], id),
            Change::Event(id) => insert(0, layout, &events[id], id),
            Change::OtherRow => other_row(layout),
            Change::Message => message(true, "somebody", "else's"),
        };
        frames.push_back(data(row_lsn, &body));
    }
    let commit = Commit { commit_lsn, end_lsn, commit_time };
    frames.push_back(data(end_lsn, &encode::message(&Message::Commit(commit))));
}

fn data(at: Lsn, body: &[u8]) -> Vec<u8> {
    encode::frame(&Frame::XLogData { start: at, end: at, sent: PgTimestamp::default(), body })
}

fn relation(table: usize, layout: u8) -> Vec<u8> {
    let column = |&(name, type_oid)| Column { is_key: false, name, type_oid, type_modifier: -1 };
    encode::message(&Message::Relation(Relation {
        id: TABLES[table].0,
        namespace: "outbox",
        name: TABLES[table].1,
        replica_identity: b'd',
        columns: columns(layout).iter().map(column).collect(),
    }))
}

fn insert(table: usize, layout: u8, event: &Event, id: usize) -> Vec<u8> {
    let (key, value) = (event.key_text(), event.value(id));
    let (name, headers) = (name(id), headers(id));
    let cells = columns(layout).iter().map(|&(column, _)| match column {
        "id" => Cell::Text(name.as_bytes()),
        "aggregatetype" => Cell::Text(KINDS[event.kind].as_bytes()),
        "aggregateid" => key.as_ref().map_or(Cell::Null, |key| Cell::Text(key.as_bytes())),
        "type" => Cell::Text(b"Happened"),
        "payload" => Cell::Text(value.as_bytes()),
        "headers" => Cell::Text(headers.as_bytes()),
        _ => Cell::Text(b"another column"),
    });
    encode::insert(TABLES[table].0, &cells.collect::<Vec<_>>())
}

fn other_row(layout: u8) -> Vec<u8> {
    let cells = columns(layout).iter().map(|_| Cell::Text(b"ignored"));
    encode::insert(TABLES[1].0, &cells.collect::<Vec<_>>())
}

fn event_message(event: &Event, id: usize) -> Vec<u8> {
    let mut row = serde_json::json!({
        "id": name(id),
        "aggregatetype": KINDS[event.kind],
        "aggregateid": event.key_text(),
        "type": "Happened",
        "payload": event.value(id),
        "another": "column",
    });
    if has_headers(event.layout) {
        row["headers"] = headers(id).into();
    }
    message(true, PREFIX, &serde_json::json!({ "v": 1, "row": row }).to_string())
}

fn message(transactional: bool, prefix: &str, content: &str) -> Vec<u8> {
    let (lsn, content) = (Lsn::ZERO, content.as_bytes());
    encode::message(&Message::Message(LogicalMessage { transactional, lsn, prefix, content }))
}

fn headers(id: usize) -> String {
    format!("{{\"trace\": \"t{id}\"}}")
}

/// Layouts take turns.
fn columns(layout: u8) -> &'static [(&'static str, u32)] {
    if layout.is_multiple_of(2) { &PLAIN } else { &ALTERED }
}

pub(super) fn has_headers(layout: u8) -> bool {
    !layout.is_multiple_of(2)
}

const TABLES: [(RelationId, &str); 2] =
    [(RelationId(16_400), "events"), (RelationId(16_500), "others")];
const PLAIN: [(&str, u32); 5] =
    [("id", 2950), ("aggregatetype", 1043), ("aggregateid", 1043), ("type", 1043), ("payload", 25)];
const ALTERED: [(&str, u32); 7] = [
    ("payload", 25),
    ("type", 1043),
    ("added", 25),
    ("aggregateid", 1043),
    ("headers", 3802),
    ("aggregatetype", 1043),
    ("id", 2950),
];
