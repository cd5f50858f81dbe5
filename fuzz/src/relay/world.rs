//! What the relay lives in, and what it promises to it.
//!
//! The relay is fed as its shell feeds it: frames only while it wants them, one progress record at a
//! time, every report of a producer before the next producer.

mod outputs;
mod settings;

use std::collections::VecDeque;
use std::time::Duration;

use outboxd_core::gate::Observed;
use outboxd_core::headers::Sequence;
use outboxd_core::lsn::Lsn;
use outboxd_core::parking::{Parcel, ParkedRow, Reason};
use outboxd_core::progress::Recorded;
use outboxd_core::record::{Record, Token};
use outboxd_core::relay::{Opened, Relay, Replay};
use outboxd_core::stop::{RecordError, RecordErrorKind};
use outboxd_core::time::{Now, Tick};
use outboxd_core::topic::{TopicError, TopicInfo};

use self::settings::{DRAIN, START, observed, settings};
use super::step::Step;
use crate::outbox;

pub(super) struct World {
    relay: Relay,
    now_ms: u64,
    frames: VecDeque<Incoming>,
    questions: VecDeque<Question>,
    /// Handed to Kafka, without a report.
    in_flight: Vec<Sent>,
    progress: Vec<Entry>,
    /// Written in the transaction that is open.
    uncommitted: Vec<Entry>,
    is_transactional: bool,
    progress_in_flight: Option<Entry>,
    parcels: VecDeque<Parcel>,
    /// Committed in the dead-letter table, and whether each was published since.
    rows: Vec<(Parcel, bool)>,
    /// A row was offered in this session, and what became of it is not known yet.
    replaying: bool,
    partitions: u32,
    max_message_bytes: usize,
    confirmed: Lsn,
    finished: bool,
    seen: Seen,
}

/// How far it came.
#[derive(Debug, Default)]
pub struct Seen {
    pub emitted: usize,
    pub parked: usize,
    pub replayed: usize,
    pub streams: usize,
}

enum Incoming {
    Frame(Vec<u8>),
    Skimmed(Vec<u8>),
}

/// What the relay waits for.
#[derive(Debug, Eq, PartialEq)]
enum Question {
    Session,
    Reread,
    Slot,
    Parked { from: Sequence },
    StreamEnd,
    Topic(String),
    Progress,
    Fence,
    Commit,
}

struct Sent {
    token: Token,
    /// `None`: published from its row.
    sequence: Option<Sequence>,
}

type Entry = (Vec<u8>, Option<Vec<u8>>);

impl World {
    pub(super) fn streaming(choice: u8) -> Self {
        let mut world = Self {
            relay: Relay::new(settings(choice), outbox::mapper()),
            now_ms: 0,
            frames: VecDeque::new(),
            questions: VecDeque::new(),
            in_flight: Vec::new(),
            progress: Vec::new(),
            uncommitted: Vec::new(),
            is_transactional: settings(choice).transactions.is_some(),
            progress_in_flight: None,
            parcels: VecDeque::new(),
            rows: Vec::new(),
            replaying: false,
            partitions: 3,
            max_message_bytes: 400,
            confirmed: START,
            finished: false,
            seen: Seen::default(),
        };
        world.relay.start(world.now());
        world.settle();
        while !world.relay.is_streaming() {
            assert!(!world.questions.is_empty(), "it waits for nothing and does not stream");
            world.answer();
            world.settle();
        }
        world
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn take(&mut self, step: Step) {
        if self.finished {
            return;
        }
        match step {
            Step::Frame(bytes) => self.frames.push_back(Incoming::Frame(bytes)),
            Step::Skimmed(bytes) => self.frames.push_back(Incoming::Skimmed(bytes)),
            Step::Pass(ms) => self.pass(ms),
            Step::Freeze(ms) => self.freeze(ms),
            Step::AckFirst => self.ack(0),
            Step::AckLast => self.ack(self.in_flight.len().saturating_sub(1)),
            Step::RefuseFirst => self.refuse_first(),
            Step::KillProducer => self.kill_producer(),
            Step::RetireProducer => self.relay.handle_producer_retired(self.now(), "asked to"),
            Step::Answer => self.answer(),
            Step::Deny => self.deny(),
            Step::Cut => self.cut(),
            Step::CommitParcel => self.commit_parcel(),
            Step::Replay => self.replay(),
            Step::AddPartitions => self.partitions = (self.partitions + 1).min(64),
            Step::RaiseLimit => self.max_message_bytes = 4096,
            Step::Shutdown => self.relay.handle_shutdown(self.now()),
        }
        self.settle();
    }

    /// Whatever happened: it ends in time.
    pub(super) fn stop(mut self) -> Seen {
        self.take(Step::Shutdown);
        self.pass(u64::try_from(DRAIN.as_millis()).expect("seconds") + 1);
        assert!(self.finished, "it has not stopped");
        self.seen
    }

    fn now(&self) -> Now {
        let tick = Tick::new(Duration::from_millis(self.now_ms));
        let passed = i64::try_from(self.now_ms).expect("not for so long");
        Now { tick, unix_ms: STARTED_MS + passed }
    }

    /// Time passes, and the relay is woken when it wants to be.
    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end && !self.finished {
            self.now_ms = self.due_ms().clamp(self.now_ms, end);
            self.freeze(0);
            assert!(self.finished || self.due_ms() > self.now_ms, "what was done is still due");
        }
    }

    fn freeze(&mut self, ms: u64) {
        self.now_ms += ms;
        self.relay.handle_timeout(self.now());
        self.settle();
    }

    fn due_ms(&self) -> u64 {
        let due = self.relay.poll_timeout().since(Tick::default());
        u64::try_from(due.as_micros().div_ceil(1000)).expect("not for so long")
    }

    // Kafka.

    fn ack(&mut self, index: usize) {
        if index < self.in_flight.len() {
            let sent = self.in_flight.remove(index);
            self.relay.handle_ack(self.now(), sent.token);
            self.relay.handle_reports_end(self.now());
        }
    }

    fn refuse_first(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let sent = self.in_flight.remove(0);
        let error = RecordError {
            kind: RecordErrorKind::RecordTooLarge,
            event_id: None,
            topic: None,
            key: None,
            message: "message too large".to_owned(),
        };
        self.relay.handle_refused(sent.token, &error);
        self.relay.handle_reports_end(self.now());
    }

    fn kill_producer(&mut self) {
        self.relay.handle_producer_failed(self.now(), "fatal");
        self.lose_all();
    }

    fn lose_all(&mut self) {
        for sent in std::mem::take(&mut self.in_flight) {
            self.relay.handle_lost(sent.token, "fatal");
        }
        if self.progress_in_flight.take().is_some() {
            self.questions.retain(|question| *question != Question::Progress);
            self.relay.handle_progress_lost(self.now(), "fatal");
        }
        self.relay.handle_reports_end(self.now());
    }

    /// What its transaction held is gone.
    fn abandon(&mut self) {
        self.uncommitted.clear();
        self.questions.retain(|it| !matches!(it, Question::Fence | Question::Commit));
        self.lose_all();
    }

    fn write_progress(&mut self) {
        let entry = self.progress_in_flight.take().expect("a progress record in flight");
        match self.is_transactional {
            true => self.uncommitted.push(entry),
            false => self.progress.push(entry),
        }
        self.relay.handle_progress_acked(self.now(), Some(self.high_watermark().saturating_sub(1)));
    }

    fn high_watermark(&self) -> i64 {
        i64::try_from(self.progress.len()).expect("a short topic")
    }

    fn recorded(&self) -> Recorded {
        let entries = self.progress.iter().zip(0..);
        let entries = entries.map(|((key, value), offset)| (offset, &key[..], value.as_deref()));
        Recorded::read(entries).expect("what the relay wrote can be read")
    }

    fn topic_info(&self, topic: &str) -> TopicInfo {
        TopicInfo {
            partitions: self.partitions,
            max_message_bytes: Some(self.max_message_bytes),
            compacted: topic.ends_with("compacted"),
        }
    }

    // The server.

    fn observed(&self) -> Observed {
        observed(self.confirmed, self.confirmed.max(self.relay.received()))
    }

    fn cut(&mut self) {
        self.forget_session();
        self.relay.handle_closed(self.now());
    }

    fn forget_session(&mut self) {
        self.frames.clear();
        self.parcels.clear();
        let outlives = |it: &Question| {
            use Question::{Commit, Fence, Progress, Topic};
            matches!(it, Topic(_) | Progress | Fence | Commit)
        };
        self.questions.retain(outlives);
        // The next one does not know what was offered in this.
        self.replaying = false;
    }

    fn answer(&mut self) {
        let now = self.now();
        match self.questions.pop_front() {
            None => {}
            Some(Question::Session) => {
                let (recorded, observed) = (self.recorded(), self.observed());
                self.relay.handle_opened(now, Opened { recorded, observed });
            }
            Some(Question::Reread) => {
                self.relay.handle_reread(now, self.recorded(), self.high_watermark());
            }
            Some(Question::Slot) => self.relay.handle_slot_created(now, START),
            Some(Question::Parked { from }) => {
                self.relay.handle_loaded(now, Some(self.rows_from(from)));
            }
            Some(Question::StreamEnd) => {
                self.frames.clear();
                self.relay.handle_stream_ended(now);
            }
            Some(Question::Topic(topic)) => {
                let info = self.topic_info(&topic);
                self.relay.handle_topic(now, &topic, Ok(info));
            }
            Some(Question::Progress) => self.write_progress(),
            Some(Question::Fence) => self.relay.handle_fenced(now),
            Some(Question::Commit) => {
                self.progress.append(&mut self.uncommitted);
                self.relay.handle_committed(now, None);
            }
        }
    }

    fn deny(&mut self) {
        match self.questions.pop_front() {
            None => {}
            Some(Question::Parked { .. }) => self.relay.handle_loaded(self.now(), None),
            Some(Question::Topic(topic)) => {
                self.relay.handle_topic(self.now(), &topic, Err(TopicError::Unknown));
            }
            Some(Question::Progress) => self.kill_producer(),
            Some(Question::Fence | Question::Commit) => {
                self.relay.handle_transaction_failed(self.now(), "no answer");
            }
            Some(_) => self.cut(),
        }
    }

    // The dead-letter table.

    fn commit_parcel(&mut self) {
        let Some(parcel) = self.parcels.pop_front() else { return };
        let token = parcel.token;
        if self.rows.iter().all(|(row, _)| row.sequence != parcel.sequence) {
            self.rows.push((parcel, false));
        }
        self.relay.handle_parked(self.now(), token);
    }

    fn rows_from(&self, from: Sequence) -> Vec<ParkedRow> {
        let rows = self.rows.iter().map(|(row, published)| ParkedRow {
            sequence: row.sequence,
            topic: row.topic.clone(),
            key: row.key.clone(),
            is_unresolved: !published && !matches!(row.reason, Reason::Skipped(_)),
        });
        let mut rows: Vec<_> =
            rows.filter(|row| row.is_unresolved || row.sequence >= from).collect();
        rows.sort_by_key(|row| row.sequence);
        rows
    }

    /// The oldest row that can be, is to be published.
    fn replay(&mut self) {
        let can = |(row, published): &(Parcel, bool)| {
            !published && row.is_complete && !matches!(row.reason, Reason::Skipped(_))
        };
        let Some(id) = self.rows.iter().position(can) else { return };
        if self.replaying || !self.relay.is_streaming() {
            return;
        }
        let row = self.rows[id].0.clone();
        let (Some(event_id), Some(topic), Some(timestamp_ms)) =
            (row.event_id, row.topic, row.timestamp_ms)
        else {
            panic!("a complete row is complete");
        };
        self.replaying = true;
        let Parcel { partition_key, key, value, headers, .. } = row;
        let id = i64::try_from(id).expect("a short table");
        let replay =
            Replay { id, event_id, topic, partition_key, key, value, headers, timestamp_ms };
        self.relay.handle_replay(self.now(), replay);
    }
}

impl Sent {
    fn of(record: &Record<'_>) -> Self {
        let header = |wanted: &str| record.headers.iter().find(|(name, _)| *name == wanted);
        let sequence = header("outboxd-replay").is_none().then(|| {
            let (_, text) = header("sequence").expect("every event has one");
            let text = str::from_utf8(text).expect("text");
            text.parse().expect("a sequence")
        });
        Self { token: record.token, sequence }
    }
}

/// By the wall clock: 2026-11-21.
const STARTED_MS: i64 = 1_795_259_537_000;
