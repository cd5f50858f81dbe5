//! A server: committed transactions, a slot whose position is on disk only after a checkpoint, and
//! one walsender session that holds the lock.

use std::collections::VecDeque;

use super::chance::Chance;
use super::frames;
use super::truth::{Event, EventId};
use crate::gate::{self, Observed, Publication, SystemId, TimelineSwitch};
use crate::lsn::Lsn;
use crate::relay::tests::postgres;
use crate::wire::StatusUpdate;

pub(super) struct Server {
    pub(super) events: Vec<Event>,
    pub(super) log: Vec<Transaction>,
    pub(super) flush_lsn: Lsn,
    pub(super) system_id: u64,
    pub(super) timeline: u32,
    pub(super) history: Vec<TimelineSwitch>,
    pub(super) slot: Option<Slot>,
    pub(super) fingerprint: &'static str,
    /// Raised by every `alter table`.
    pub(super) layout: u8,
    pub(super) holder: Option<Holder>,
    pub(super) sessions: u32,
    xids: u32,
}

#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) confirmed: Lsn,
    /// What a crash falls back to.
    pub(super) saved: Lsn,
}

#[derive(Clone)]
pub(super) struct Transaction {
    pub(super) xid: u32,
    pub(super) commit_lsn: Lsn,
    pub(super) end_lsn: Lsn,
    pub(super) time_us: i64,
    pub(super) layout: u8,
    /// All its rows carry this one.
    pub(super) row_lsn: Lsn,
    pub(super) changes: Vec<Change>,
}

#[derive(Clone, Copy)]
pub(super) enum Change {
    Event(EventId),
    /// A row of a table that is published and not configured.
    OtherRow,
    Message,
}

/// The session with the lock.
pub(super) struct Holder {
    pub(super) session: u32,
    pub(super) heard_ms: u64,
    /// It neither says nor does anything any more, and is not gone.
    pub(super) is_silent: bool,
    /// How far the client says it has received.
    written: Lsn,
    stream: Option<Stream>,
}

#[derive(Default)]
struct Stream {
    /// Index of the next transaction in the log.
    next: usize,
    /// The layouts that were announced in this session, of both tables.
    announced: [Option<u8>; 2],
    frames: VecDeque<Vec<u8>>,
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            events: Vec::new(),
            log: Vec::new(),
            flush_lsn: Lsn::new(0x1000),
            system_id: 7,
            timeline: 1,
            history: Vec::new(),
            slot: None,
            fingerprint: "cafe",
            layout: 0,
            holder: None,
            sessions: 0,
            xids: 700,
        }
    }

    /// The rows were written up to `gap` bytes before the commit record.
    pub(super) fn commit(&mut self, now_ms: u64, gap: u64, changes: Vec<Change>) {
        let row_lsn = self.flush_lsn;
        let commit_lsn = Lsn::new(row_lsn.as_u64() + gap);
        self.flush_lsn = Lsn::new(commit_lsn.as_u64() + 0x30);
        self.xids += 1;
        self.log.push(Transaction {
            xid: self.xids,
            commit_lsn,
            end_lsn: self.flush_lsn,
            time_us: i64::try_from(now_ms).unwrap() * 1000,
            layout: self.layout,
            row_lsn,
            changes,
        });
    }

    /// The row of the next transaction that is committed with this `gap`.
    pub(super) fn insert(&mut self, now_ms: u64, gap: u64, ordinal: u32, row: Row) -> Change {
        let commit_lsn = Lsn::new(self.flush_lsn.as_u64() + gap);
        let Row { kind, key, is_large, is_message } = row;
        let same = |event: &Event| key.is_some() && event.kind == kind && event.key == key;
        self.events.push(Event {
            kind,
            key,
            is_large,
            is_message,
            commit_lsn,
            end_lsn: Lsn::new(commit_lsn.as_u64() + 0x30),
            ordinal,
            time_us: i64::try_from(now_ms).unwrap() * 1000,
            layout: self.layout,
            previous: self.events.iter().rposition(same),
        });
        Change::Event(self.events.len() - 1)
    }

    /// WAL of others.
    pub(super) fn write_idle_wal(&mut self) {
        self.flush_lsn = Lsn::new(self.flush_lsn.as_u64() + 0x200);
    }

    pub(super) fn checkpoint(&mut self) {
        if let Some(slot) = &mut self.slot {
            slot.saved = slot.confirmed;
        }
    }

    /// Whatever is not on disk is gone: the sessions, and how far the slot had come.
    pub(super) fn crash(&mut self) {
        self.holder = None;
        if let Some(slot) = &mut self.slot {
            slot.confirmed = slot.saved;
        }
    }

    /// A standby that has all of the WAL takes over, with the slot as it was synchronised.
    pub(super) fn promote(&mut self) {
        self.crash();
        self.history.push(TimelineSwitch { timeline: self.timeline, switch_point: self.flush_lsn });
        self.timeline += 1;
    }

    pub(super) fn create_slot(&mut self) -> Lsn {
        let at = self.flush_lsn;
        let slot = *self.slot.get_or_insert(Slot { confirmed: at, saved: at });
        slot.confirmed
    }

    /// A new session takes the lock.
    pub(super) fn connect(&mut self, now_ms: u64) -> u32 {
        assert!(self.holder.is_none(), "the lock is free");
        self.sessions += 1;
        self.holder = Some(Holder {
            session: self.sessions,
            heard_ms: now_ms,
            is_silent: false,
            written: Lsn::ZERO,
            stream: None,
        });
        self.sessions
    }

    pub(super) fn is_alive(&self, session: u32) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.session == session)
    }

    pub(super) fn is_silent(&self, session: u32) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.session == session && holder.is_silent)
    }

    pub(super) fn disconnect(&mut self, session: u32) {
        self.holder.take_if(|holder| holder.session == session);
    }

    /// START_REPLICATION at 0/0.
    pub(super) fn start(&mut self, session: u32) {
        let confirmed = self.slot.expect("a slot to stream from").confirmed;
        let next = self.log.partition_point(|it| it.commit_lsn < confirmed);
        if let Some(holder) = self.holder.as_mut().filter(|it| it.session == session) {
            holder.stream = Some(Stream { next, ..Stream::default() });
        }
    }

    pub(super) fn end(&mut self, session: u32) {
        if let Some(holder) = self.holder.as_mut().filter(|it| it.session == session) {
            holder.stream = None;
        }
    }

    /// Whatever is confirmed is believed, as by a real server.
    pub(super) fn hear(&mut self, session: u32, status: &StatusUpdate, now_ms: u64) {
        let StatusUpdate { write, flush, .. } = *status;
        let holder = self.holder.as_mut().filter(|it| it.session == session && !it.is_silent);
        let Some(holder) = holder else { return };
        (holder.heard_ms, holder.written) = (now_ms, write);
        assert!(flush <= self.flush_lsn, "{flush} confirmed, never sent");
        if let Some(slot) = self.slot.as_mut() {
            slot.confirmed = slot.confirmed.max(flush);
        }
    }

    /// Something to put on the wire, when the session streams and there is anything. A client that
    /// has received everything, by its own word, is told no more where the end is.
    pub(super) fn send(&mut self, chance: &mut Chance) -> Option<Vec<u8>> {
        let Self { holder, log, events, slot, flush_lsn, .. } = self;
        let Holder { written, stream, .. } = holder.as_mut().filter(|it| !it.is_silent)?;
        let stream = stream.as_mut()?;
        if stream.frames.is_empty() && chance.one_in(5) {
            let confirmed = slot.expect("it streams").confirmed;
            let next = log.get(stream.next).map_or(*flush_lsn, |next| next.commit_lsn);
            let wal_end = if chance.one_in(4) { confirmed } else { next };
            if wal_end > *written {
                return Some(frames::keepalive(wal_end, chance.one_in(3)));
            }
        }
        if stream.frames.is_empty() {
            let transaction = log.get(stream.next)?;
            stream.next += 1;
            frames::of(transaction, events, &mut stream.announced, chance, &mut stream.frames);
        }
        stream.frames.pop_front()
    }

    pub(super) fn observed(&self) -> Observed {
        Observed {
            server: gate::Server {
                system_id: SystemId(self.system_id),
                timeline: self.timeline,
                flush_lsn: self.flush_lsn,
                database: "shop".to_owned(),
                history: self.history.clone(),
            },
            slot: self.slot.map(|slot| postgres::slot(slot.confirmed)),
            publication: Some(Publication {
                inserts: true,
                missing_tables: Vec::new(),
                fingerprint: self.fingerprint.to_owned(),
            }),
        }
    }
}

/// What is written to the outbox.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) kind: usize,
    pub(super) key: Option<u64>,
    pub(super) is_large: bool,
    pub(super) is_message: bool,
}
