//! What must hold after every step, told by what was committed.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Entry, Lane};
use super::frames::has_headers;
use super::letters::{Letters, State};
use super::postgres::Server;
use super::truth::{EventId, PARTITIONS, TOPICS, event_of, name};
use crate::lsn::Lsn;
use crate::murmur2;
use crate::parking::{Policy, Reason};
use crate::progress::Recorded;
use crate::record::Record;

pub(super) struct Checker {
    policy: Policy,
    /// How often each event was written.
    written: Vec<u32>,
    /// How often a fault may have repeated it.
    excused: Vec<u32>,
    /// Events up to this one are known to be durable.
    durable_through: EventId,
    exactly_once: Option<ExactlyOnce>,
}

#[derive(Default)]
struct ExactlyOnce {
    /// Database transactions of so many bytes may be seen in part.
    splits_at: u64,
    /// And those for which the time was up.
    timed_out: BTreeSet<Lsn>,
    /// The last event of the stream in each partition.
    last: BTreeMap<Lane, EventId>,
}

impl Checker {
    /// In exactly-once mode: the size from which on transactions are split.
    pub(super) fn new(policy: Policy, splits_at: Option<u64>) -> Self {
        let exactly_once =
            splits_at.map(|splits_at| ExactlyOnce { splits_at, ..ExactlyOnce::default() });
        let (written, excused) = (Vec::new(), Vec::new());
        Self { policy, written, excused, durable_through: 0, exactly_once }
    }

    pub(super) fn committed(&mut self, events: usize) {
        self.written.resize(events, 0);
        self.excused.resize(events, 0);
    }

    pub(super) fn is_written(&self, event: EventId) -> bool {
        self.written[event] > 0
    }

    /// A fault may repeat the event once more. In exactly-once mode none may.
    pub(super) fn excuse(&mut self, event: EventId) {
        if self.exactly_once.is_none() {
            self.excused[event] += 1;
        }
    }

    /// The database's transaction at `at` took too long to come.
    pub(super) fn timed_out(&mut self, at: Lsn) {
        if let Some(exactly_once) = &mut self.exactly_once {
            exactly_once.timed_out.insert(at);
        }
    }

    /// What one Kafka transaction made visible: whole transactions of the database.
    pub(super) fn committed_together(
        &self,
        server: &Server,
        letters: &Letters,
        events: &[EventId],
    ) {
        let Some(exactly_once) = &self.exactly_once else { return };
        let of_stream = events.iter().filter(|id| letters.state(**id).is_none());
        let touched: BTreeSet<_> = of_stream.map(|id| server.events[*id].commit_lsn).collect();
        if exactly_once.splits_at < WHOLE {
            return;
        }
        for at in touched.difference(&exactly_once.timed_out) {
            let parts = (0..server.events.len()).filter(|id| server.events[*id].commit_lsn == *at);
            for id in parts {
                assert!(self.is_durable(letters, id), "the transaction at {at} is torn at {id}");
            }
        }
    }

    /// Handed to the producer: placement and integrity.
    pub(super) fn handed_out(&self, server: &Server, record: &Record<'_>, is_replay: bool) {
        let id = event_of(record.value);
        let event = server.events.get(id).expect("a committed event");
        let key = event.key_text();
        assert_eq!(record.value, Some(event.value(id).as_bytes()));
        assert_eq!(record.key, key.as_deref().map(str::as_bytes));
        assert_eq!(record.topic, TOPICS[event.kind]);
        let at = murmur2::partition(record.key, name(id).as_bytes(), PARTITIONS);
        assert_eq!(record.partition, at, "{id} is misplaced");
        let time_ms = event.time_us / 1000 + EPOCH_MS;
        assert_eq!(record.timestamp_ms, time_ms, "of {id}");
        let sequence = format!("-{:016X}-{:08X}", event.commit_lsn.as_u64(), event.ordinal);
        let mut seen = Vec::new();
        for (header, value) in record.headers.iter() {
            let value = std::str::from_utf8(value).expect("text");
            match header {
                "id" => assert_eq!(value, name(id)),
                "type" => assert_eq!(value, "Happened"),
                "sequence" => assert_eq!(&value[4..], sequence, "of {id}"),
                "trace" => assert_eq!(value, format!("t{id}")),
                "outboxd-replay" => assert!(is_replay, "{id} is no replay"),
                other => panic!("{id} has a header {other}"),
            }
            seen.push(header);
        }
        let expected = 3 + usize::from(has_headers(event.layout)) + usize::from(is_replay);
        assert_eq!(seen.len(), expected, "headers of {id}: {seen:?}");
    }

    /// Written to a partition: phantoms, repeats, order.
    pub(super) fn wrote(&mut self, server: &Server, letters: &Letters, lane: Lane, id: EventId) {
        let event = &server.events[id];
        assert_eq!(lane.0, event.kind, "{id} in another topic");
        self.written[id] += 1;
        if let Some(exactly_once) = &mut self.exactly_once
            && letters.state(id).is_none()
        {
            let last = exactly_once.last.insert(lane, id);
            assert!(last.is_none_or(|last| last < id), "{id} in {lane:?} behind {last:?}");
        }
        if self.written[id] > 1 {
            let (repeats, excused) = (self.written[id] - 1, self.excused[id]);
            assert!(repeats <= excused, "{id} repeated {repeats} times, at most {excused} excused");
            return;
        }
        let was_discarded = letters.state(id) == Some(State::Discarded);
        let Some(previous) = event.previous.filter(|_| !was_discarded) else { return };
        let is_past = match letters.state(previous) {
            Some(state) if !state.is_unresolved() => true,
            _ if self.policy == Policy::Skip && server.events[previous].is_large => true,
            _ => self.is_written(previous),
        };
        assert!(is_past, "{id} written before {previous} of the same key");
    }

    /// A row was committed: only what the topic refuses is a head, and behind it its key.
    pub(super) fn parked(&self, server: &Server, letters: &Letters, id: EventId, reason: &Reason) {
        let event = &server.events[id];
        if !matches!(reason, Reason::Behind) {
            assert!(event.is_large, "{id} parked for nothing: {reason:?}");
            return;
        }
        let mut previous = event.previous;
        while let Some(before) = previous.filter(|it| letters.state(*it).is_none()) {
            previous = server.events[before].previous;
        }
        assert!(previous.is_some(), "{id} is parked behind nothing");
    }

    /// Everything up to this position is durable.
    pub(super) fn position(&mut self, server: &Server, letters: &Letters, position: Lsn) {
        while let Some(event) = server.events.get(self.durable_through) {
            let id = self.durable_through;
            if event.end_lsn > position {
                return;
            }
            assert!(self.is_durable(letters, id), "the position {position} passed {id}");
            self.durable_through += 1;
        }
    }

    /// A progress record was written: it says nothing that is not so.
    pub(super) fn progress(&mut self, server: &Server, letters: &Letters, entry: &Entry) {
        let (key, value) = entry;
        let recorded = Recorded::read([(0, &key[..], value.as_deref())]).expect("readable");
        let Some(progress) = recorded.progress.filter(|progress| !progress.creating) else {
            return;
        };
        self.position(server, letters, progress.end_lsn);
        let Some(partial) = progress.partial else { return };
        let events = &server.events[self.durable_through..];
        for (id, event) in (self.durable_through..).zip(events) {
            if event.commit_lsn > partial.commit_lsn {
                break;
            }
            let is_covered =
                event.commit_lsn == partial.commit_lsn && event.ordinal < partial.changes;
            assert!(!is_covered || self.is_durable(letters, id), "{partial:?} covers {id}");
        }
    }

    fn is_durable(&self, letters: &Letters, id: EventId) -> bool {
        self.is_written(id) || letters.state(id).is_some()
    }

    /// All is done: everything is where it belongs.
    pub(super) fn complete(&self, server: &Server, letters: &Letters, parked_is_fine: bool) {
        for id in 0..server.events.len() {
            let is_there = match letters.state(id) {
                Some(State::Discarded | State::Skipped) => true,
                Some(state) if state.is_unresolved() && parked_is_fine => true,
                _ => self.is_written(id),
            };
            assert!(is_there, "{id} is lost: {:?}", letters.state(id));
        }
    }
}

/// No transaction of the simulation has so many bytes.
pub(super) const WHOLE: u64 = 1 << 30;
/// From 1970 to 2000.
const EPOCH_MS: i64 = 946_684_800_000;
