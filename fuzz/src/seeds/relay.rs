//! Sessions: a few transactions each, and what befalls them.
//!
//! A session is written as text: a letter for each step of the target, and the steps of the server
//! as a digit, see [`Server::send`].

use outboxd_core::encode;
use outboxd_core::lsn::Lsn;
use outboxd_core::pgoutput::{
    Begin, Cell, Column, Commit, LogicalMessage, Message, Relation, RelationId, Xid,
};
use outboxd_core::time::PgTimestamp;
use outboxd_core::wire::Frame;

use super::rows;
use crate::outbox::{self, EVENTS};
use crate::relay::write_counted;

pub fn relay() -> Vec<Vec<u8>> {
    SESSIONS.iter().map(|&(settings, session)| write(settings, session)).collect()
}

/// Settings, and steps. `t` and `T` take the byte that follows for themselves.
const SESSIONS: [(u8, &str); 21] = [
    // Two transactions, acknowledged, recorded and ended.
    (0, "RB1C nnaanB23C aaaat!nt!nx"),
    // Later ones before earlier ones.
    (0, "RB1n2n3Cnnn AAAt!n B12C aat!n"),
    // Back-pressure by bytes and by events.
    (0, "RB1nnaa1212121212C B12121212C aaaaaaaaaaaaaaaaaat!n"),
    // The connection is cut in the middle, and everything comes again.
    (0, "RB1nn2ac nnnnnn RB12C aat!nt!n"),
    // The producer dies, and what it held comes again.
    (0, "RB1nn2nn3aak nnnn RB123C nnaat!n"),
    // One record is refused, for good.
    (0, "RB1nnrnnnn RB1nnrnnnn RB1nnrnnnn RB12C nppt!n"),
    // Too large a row, and what waits behind it, published later.
    (0, "RBX1nnpp1Cppt!n aat!n"),
    (0, "RBG1nn12nCpppaat!nn ^ynnnaat!n ynnnaaynnaat!nn"),
    (0, "RBG1nnCppt!nn ^ynnn c nnnnnny aat!nn ynnakkt!nn"),
    (3, "RBX1Cnnpat!n"),
    (2, "RBX1Cnn"),
    (0, "RBS2nnC pat!n"),
    // Keepalives, and messages of others.
    (0, "LKLt!nRBM1Cnnat!nL"),
    // Events that are messages, one outside of a transaction, what is none, and one cut off.
    (0, "B1EnnEaaRB1E2Caat!nt!n"),
    (0, "eB1EnngE2pppCaat!n cRBEnnCnnaat!n"),
    (8, "BEnnkEsEpgpCaat!nt!n"),
    // A table that is not ours, a row that nobody announced.
    (0, "OBoCRB1Cnnat!n"),
    (0, "B1nnnnnn RB1Cnnat!n"),
    // Kafka does not answer for so long that the stream is given back.
    (0, "RB1nnC tztztznnn aat!nnRB1C"),
    // The process stands still.
    (0, "RB1nnT~nnnnnn RB1Caat!n"),
    // Topics get more partitions.
    (0, "RB1nnaC+rnn+RB1CnnB2Cnnaat!n"),
];

fn write(settings: u8, session: &str) -> Vec<u8> {
    let mut server = Server { seed: vec![settings], commit_lsn: 0x1100, events: 0 };
    let mut steps = session.bytes();
    while let Some(step) = steps.next() {
        match step {
            b' ' => {}
            b't' | b'T' => {
                server.seed.push(step);
                server.seed.extend(steps.next());
            }
            step => server.send(step),
        }
    }
    server.seed
}

struct Server {
    seed: Vec<u8>,
    /// Of the transaction that is being sent.
    commit_lsn: u64,
    events: u64,
}

impl Server {
    fn send(&mut self, step: u8) {
        match step {
            b'R' => self.message(&Message::Relation(outbox::events(EVENTS))),
            b'O' => self.message(&others()),
            b'B' => self.begin(),
            b'C' => self.commit(),
            b'M' => self.logical(true, "somebody", "else's"),
            b'E' => self.logical(true, outbox::PREFIX, rows::CONTENTS[0]),
            b'e' => self.logical(false, outbox::PREFIX, rows::CONTENTS[0]),
            b'g' => self.logical(true, outbox::PREFIX, rows::CONTENTS[1]),
            b's' => self.skimmed_message(),
            b'1' => self.event("order", "a"),
            b'2' => self.event("order", "b"),
            b'3' => self.event("compacted", "a"),
            b'X' => self.event(&"too-long".repeat(60), "a"),
            b'G' => self.large_event(),
            b'S' => self.skimmed(),
            b'o' => self.row_of_others(),
            b'K' => self.keepalive(true),
            b'L' => self.keepalive(false),
            step => self.seed.push(step),
        }
    }

    fn begin(&mut self) {
        let (final_lsn, xid) = (Lsn::new(self.commit_lsn), Xid(812));
        self.message(&Message::Begin(Begin { final_lsn, commit_time: SENT, xid }));
    }

    fn commit(&mut self) {
        let (commit_lsn, end_lsn) = (Lsn::new(self.commit_lsn), Lsn::new(self.commit_lsn + 0x30));
        self.message(&Message::Commit(Commit { commit_lsn, end_lsn, commit_time: SENT }));
        self.commit_lsn += 0x100;
    }

    fn event(&mut self, aggregate_type: &str, key: &str) {
        self.events += 1;
        let body = rows::event(&self.events.to_string(), aggregate_type, key);
        self.raw(b'm', &body);
    }

    /// Above the limit of the topic.
    fn large_event(&mut self) {
        let payload = format!(r"\x{}", "7b".repeat(500));
        let body = rows::rich_event([&payload, "{}", "2026-11-21 11:12:17+00", r"\x00"]);
        self.raw(b'm', &body);
    }

    fn row_of_others(&mut self) {
        self.raw(b'm', &encode::insert(OTHERS, &[Cell::Text(b"ignored")]));
    }

    /// The head of a row: its first cells, and the rest cut off.
    fn skimmed(&mut self) {
        self.events += 1;
        let body = rows::event(&self.events.to_string(), "order", "a");
        let start = Lsn::ZERO;
        let body = &body[..body.len() - 60];
        let frame = encode::frame(&Frame::XLogData { start, end: start, sent: SENT, body });
        self.raw(b's', &frame);
    }

    /// Behind everything that was committed.
    fn keepalive(&mut self, reply_requested: bool) {
        let wal_end = Lsn::new(self.commit_lsn - 0x80);
        let frame = encode::frame(&Frame::Keepalive { wal_end, sent: SENT, reply_requested });
        self.raw(b'f', &frame);
    }

    fn logical(&mut self, transactional: bool, prefix: &str, content: &str) {
        let (lsn, content) = (Lsn::new(self.commit_lsn), content.as_bytes());
        self.message(&Message::Message(LogicalMessage { transactional, lsn, prefix, content }));
    }

    /// The head of a message.
    fn skimmed_message(&mut self) {
        let lsn = Lsn::new(self.commit_lsn);
        let content = rows::CONTENTS[0].as_bytes();
        let message = LogicalMessage { transactional: true, lsn, prefix: outbox::PREFIX, content };
        let body = encode::message(&Message::Message(message));
        let (start, body) = (Lsn::ZERO, &body[..body.len() - 60]);
        let frame = encode::frame(&Frame::XLogData { start, end: start, sent: SENT, body });
        self.raw(b's', &frame);
    }

    fn message(&mut self, message: &Message<'_>) {
        self.raw(b'm', &encode::message(message));
    }

    fn raw(&mut self, step: u8, bytes: &[u8]) {
        write_counted(&mut self.seed, step, bytes);
    }
}

/// A table that is published and not configured.
fn others() -> Message<'static> {
    let column = Column { is_key: false, name: "note", type_oid: 25, type_modifier: -1 };
    let columns = vec![column];
    let (namespace, name) = ("public", "others");
    Message::Relation(Relation { id: OTHERS, namespace, name, replica_identity: b'd', columns })
}

const OTHERS: RelationId = RelationId(16_500);
const SENT: PgTimestamp = PgTimestamp::from_micros(848_000_000_000_000);
