//! A server played from a list of committed transactions: what it streams, and what its slot keeps.

use std::collections::VecDeque;

use super::{FINGERPRINT, PREFIX};
use crate::encode;
use crate::gate::{Observed, Publication, Server, Slot, SystemId, TimelineSwitch};
use crate::lsn::Lsn;
use crate::pgoutput::{
    Begin, Cell, Column, Commit, LogicalMessage, Message, Relation, RelationId, Xid,
};
use crate::time::PgTimestamp;
use crate::wire::Frame;

pub(super) struct Postgres {
    pub(super) log: Vec<Transaction>,
    pub(super) flush_lsn: Lsn,
    pub(super) timeline: u32,
    pub(super) history: Vec<TimelineSwitch>,
    /// The confirmed position of the slot, when it exists.
    pub(super) slot: Option<Lsn>,
    pub(super) fingerprint: &'static str,
    stream: Option<Stream>,
    next_xid: u32,
}

#[derive(Clone)]
pub(super) struct Transaction {
    xid: u32,
    commit_lsn: Lsn,
    pub(super) end_lsn: Lsn,
    pub(super) changes: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A row of the outbox.
    Event { kind: String, key: String, value: String },
    /// A row of a table that is published and not configured.
    OtherRow,
    /// Of somebody else.
    Message,
    /// A message with our prefix.
    EventMessage { content: String },
}

struct Stream {
    /// Index of the next transaction in the log.
    next: usize,
    announced: bool,
    frames: VecDeque<Vec<u8>>,
}

impl Postgres {
    pub(super) fn new() -> Self {
        Self {
            log: Vec::new(),
            flush_lsn: START,
            timeline: 1,
            history: Vec::new(),
            slot: Some(START),
            fingerprint: FINGERPRINT,
            stream: None,
            next_xid: 700,
        }
    }

    pub(super) fn commit(&mut self, changes: Vec<Change>) -> Lsn {
        let commit_lsn = Lsn::new(self.flush_lsn.as_u64() + 0x10 * (changes.len() as u64 + 1));
        let end_lsn = Lsn::new(commit_lsn.as_u64() + 0x30);
        self.next_xid += 1;
        self.flush_lsn = end_lsn;
        self.log.push(Transaction { xid: self.next_xid, commit_lsn, end_lsn, changes });
        end_lsn
    }

    /// WAL of others.
    pub(super) fn write_idle_wal(&mut self, bytes: u64) {
        self.flush_lsn = Lsn::new(self.flush_lsn.as_u64() + bytes);
    }

    /// Everything that stays silent about a failover: the same log on the next timeline.
    pub(super) fn promote(&mut self) {
        self.history.push(TimelineSwitch { timeline: self.timeline, switch_point: self.flush_lsn });
        self.timeline += 1;
    }

    pub(super) fn observed(&self) -> Observed {
        Observed {
            server: Server {
                system_id: SystemId(7),
                timeline: self.timeline,
                flush_lsn: self.flush_lsn,
                database: "shop".to_owned(),
                history: self.history.clone(),
            },
            slot: self.slot.map(slot),
            publication: Some(Publication {
                inserts: true,
                missing_tables: Vec::new(),
                fingerprint: self.fingerprint.to_owned(),
            }),
        }
    }

    pub(super) fn start(&mut self) {
        let confirmed = self.slot.expect("a slot to stream from");
        let next = self.log.partition_point(|it| it.end_lsn <= confirmed);
        self.stream = Some(Stream { next, announced: false, frames: VecDeque::new() });
    }

    pub(super) fn end(&mut self) {
        self.stream = None;
    }

    pub(super) fn confirm(&mut self, flush: Lsn) {
        assert!(flush <= self.flush_lsn, "{flush} confirmed, never sent");
        self.slot = self.slot.map(|confirmed| confirmed.max(flush));
    }

    /// The next frame of the stream, when there is one.
    pub(super) fn next_frame(&mut self) -> Option<Vec<u8>> {
        let stream = self.stream.as_mut()?;
        if stream.frames.is_empty() {
            let transaction = self.log.get(stream.next)?;
            stream.next += 1;
            let announce = !std::mem::replace(&mut stream.announced, true);
            stream.frames.extend(transaction.messages(announce).map(|body| {
                let (start, end) = (transaction.commit_lsn, transaction.commit_lsn);
                encode::frame(&Frame::XLogData { start, end, sent: SENT, body: &body })
            }));
        }
        stream.frames.pop_front()
    }

    /// A keepalive never runs ahead of what was sent.
    pub(super) fn keepalive(&self, reply_requested: bool) -> Vec<u8> {
        let sent = self.stream.as_ref().map_or(0, |stream| stream.next);
        let inside = self.stream.as_ref().is_some_and(|stream| !stream.frames.is_empty());
        let wal_end = match self.log.get(sent) {
            _ if inside => self.log[sent - 1].commit_lsn,
            Some(next) => Lsn::new(next.commit_lsn.as_u64() - 1),
            None => self.flush_lsn,
        };
        encode::frame(&Frame::Keepalive { wal_end, sent: SENT, reply_requested })
    }
}

impl Transaction {
    fn messages(&self, announce: bool) -> impl Iterator<Item = Vec<u8>> {
        let Self { xid, commit_lsn, end_lsn, .. } = *self;
        let (xid, commit_time) = (Xid(xid), SENT);
        let begin = Message::Begin(Begin { final_lsn: commit_lsn, commit_time, xid });
        let commit = Message::Commit(Commit { commit_lsn, end_lsn, commit_time });
        let mut messages = vec![encode::message(&begin)];
        if announce {
            messages.push(encode::message(&relation(EVENTS, "events")));
            messages.push(encode::message(&relation(OTHERS, "others")));
        }
        messages.extend(self.changes.iter().map(Change::message));
        messages.push(encode::message(&commit));
        messages.into_iter()
    }
}

impl Change {
    pub(super) fn message(&self) -> Vec<u8> {
        let text = |text: &str| text.as_bytes().to_vec();
        let (relation, row) = match self {
            Self::Event { kind, key, value } => {
                (EVENTS, [text(value), text(kind), text(key), text("Happened"), text(value)])
            }
            Self::OtherRow => (OTHERS, [(); 5].map(|()| text("ignored"))),
            Self::Message => return message(true, "somebody", b"else's"),
            Self::EventMessage { content } => return message(true, PREFIX, content.as_bytes()),
        };
        encode::insert(relation, &row.each_ref().map(|value| Cell::Text(value)))
    }
}

pub(super) fn message(transactional: bool, prefix: &str, content: &[u8]) -> Vec<u8> {
    let lsn = START;
    encode::message(&Message::Message(LogicalMessage { transactional, lsn, prefix, content }))
}

fn relation(id: RelationId, name: &str) -> Message<'_> {
    let columns = [("id", 2950), ("aggregatetype", 1043), ("aggregateid", 1043), ("type", 1043)]
        .into_iter()
        .chain([("payload", 25)])
        .map(|(name, type_oid)| Column { is_key: false, name, type_oid, type_modifier: -1 })
        .collect();
    Message::Relation(Relation { id, namespace: "outbox", name, replica_identity: b'd', columns })
}

/// Where the slot starts.
pub(super) const START: Lsn = Lsn::new(0x1000);
pub(super) const EVENTS: RelationId = RelationId(16_400);
const OTHERS: RelationId = RelationId(16_500);
pub(super) const SENT: PgTimestamp = PgTimestamp::from_micros(1_000_000);

/// As the catalog shows it.
pub(super) fn slot(confirmed: Lsn) -> Slot {
    Slot {
        plugin: Some("pgoutput".to_owned()),
        database: Some("shop".to_owned()),
        temporary: false,
        two_phase: false,
        active_pid: None,
        confirmed: Some(confirmed),
        lost: None,
        wal_status: Some("reserved".to_owned()),
        safe_wal_bytes: None,
        retained_wal_bytes: None,
    }
}
