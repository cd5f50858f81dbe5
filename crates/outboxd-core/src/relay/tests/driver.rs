//! Drives a relay by hand: a clock, a server, a cluster, and a list of everything that came out.
//!
//! Nothing happens by itself. Each method gives the relay one input, or the few that its name says,
//! and then carries out what came of it as far as that needs no answer; answers are inputs again.

use std::collections::VecDeque;
use std::time::Duration;

use super::kafka::Kafka;
use super::letters::Letters;
use super::postgres::{Change, Postgres};
use super::{mapper, settings};
use crate::lsn::Lsn;
use crate::progress::Recorded;
use crate::relay::{Note, Opened, Output, Relay, Replayed, Settings};
use crate::stop::{RecordError, RecordErrorKind, Stop};
use crate::time::{Now, Tick};
use crate::topic::{TopicError, TopicInfo};

pub(super) struct Driver {
    pub(super) relay: Relay,
    pub(super) postgres: Postgres,
    pub(super) kafka: Kafka,
    pub(super) letters: Letters,
    pub(super) settings: Settings,
    pub(super) notes: Vec<Note>,
    /// Topics that wait for an answer.
    pub(super) asked: VecDeque<String>,
    pub(super) finished: Option<Result<(), Stop>>,
    /// What the relay waits for from the server.
    pub(super) awaits: Awaits,
    /// The server does not answer any more, until the next session.
    pub(super) server_is_silent: bool,
    /// Everything but notes, in words; emptied by [`Self::take`].
    happened: Vec<String>,
    now_ms: u64,
    events: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Awaits {
    pub(super) session: bool,
    pub(super) reread: bool,
    pub(super) slot: bool,
    pub(super) stream_end: bool,
}

impl Driver {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self {
            relay: Relay::new(settings.clone(), mapper()),
            postgres: Postgres::new(),
            kafka: Kafka::default(),
            letters: Letters::default(),
            settings,
            notes: Vec::new(),
            asked: VecDeque::new(),
            finished: None,
            awaits: Awaits::default(),
            server_is_silent: false,
            happened: Vec::new(),
            now_ms: 0,
            events: 0,
        }
    }

    /// Streams, with the slot adopted, and every topic known that `insert` uses.
    pub(super) fn streaming() -> Self {
        Self::streaming_with(|_| {})
    }

    pub(super) fn streaming_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut driver = Self::with(change);
        driver.open();
        driver.take();
        driver
    }

    /// As [`Self::streaming`], past the first records: both partitions of the topic are proven, and
    /// all of it is recorded.
    pub(super) fn warm() -> Self {
        Self::warm_with(|_| {})
    }

    pub(super) fn warm_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut driver = Self::streaming_with(change);
        for key in ["a", "b"] {
            driver.insert(key);
            driver.topics_found();
            driver.ack_all();
        }
        driver.record();
        assert_eq!(driver.unrecorded(), 0);
        driver.take();
        driver
    }

    // The clock.

    pub(super) fn now(&self) -> Now {
        let tick = Tick::new(Duration::from_millis(self.now_ms));
        Now { tick, unix_ms: i64::try_from(self.now_ms).unwrap() }
    }

    /// Time passes as for a shell that keeps its timers: never more than the relay asked for.
    pub(super) fn step(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end && self.finished.is_none() {
            if self.due_ms() <= self.now_ms {
                self.timeout();
                assert!(self.due_ms() > self.now_ms, "what is due was done and is still due");
            }
            self.now_ms = self.due_ms().min(end);
            self.timeout();
        }
    }

    fn due_ms(&self) -> u64 {
        let due = self.relay.poll_timeout().since(Tick::default());
        u64::try_from(due.as_micros().div_ceil(1000)).unwrap()
    }

    /// Time passes and nobody looks.
    pub(super) fn freeze(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    pub(super) fn timeout(&mut self) {
        self.relay.handle_timeout(self.now());
        self.settle();
    }

    // The session.

    pub(super) fn start(&mut self) {
        self.relay.start(self.now());
        self.settle();
    }

    /// Everything from the first connection to the stream.
    pub(super) fn open(&mut self) {
        self.start();
        self.reopen();
    }

    /// Everything from a pending connection to the stream.
    pub(super) fn reopen(&mut self) {
        self.opened();
        self.ack_progress();
        self.reread();
        if self.awaits.slot {
            self.slot_created();
        }
        self.record();
        assert!(self.relay.is_streaming(), "{:?}", self.happened);
    }

    pub(super) fn opened(&mut self) {
        let recorded = self.kafka.recorded();
        self.opened_with(recorded);
    }

    pub(super) fn opened_with(&mut self, recorded: Recorded) {
        assert!(std::mem::take(&mut self.awaits.session), "a session was asked for");
        let observed = self.postgres.observed();
        self.relay.handle_opened(self.now(), Opened { recorded, observed });
        self.settle();
    }

    pub(super) fn reread(&mut self) {
        assert!(std::mem::take(&mut self.awaits.reread), "a look at the progress topic");
        let recorded = self.kafka.recorded();
        self.relay.handle_reread(self.now(), recorded, self.kafka.high_watermark());
        self.settle();
    }

    pub(super) fn slot_created(&mut self) {
        assert!(std::mem::take(&mut self.awaits.slot), "a slot was asked for");
        let consistent_point = self.postgres.flush_lsn;
        self.postgres.slot = Some(consistent_point);
        self.relay.handle_slot_created(self.now(), consistent_point);
        self.settle();
    }

    /// The server answers CopyDone.
    pub(super) fn stream_ended(&mut self) {
        assert!(std::mem::take(&mut self.awaits.stream_end), "the stream was ended");
        self.postgres.end();
        self.relay.handle_stream_ended(self.now());
        self.settle();
    }

    /// The connection is gone.
    pub(super) fn cut(&mut self) {
        self.forget_session();
        self.relay.handle_closed(self.now());
        self.settle();
    }

    /// SIGKILL, and a new process. What the old one had in flight is not written.
    pub(super) fn restart_process(&mut self) {
        self.forget_session();
        self.relay = Relay::new(self.settings.clone(), mapper());
        self.kafka.in_flight.clear();
        self.kafka.progress_in_flight.clear();
        self.asked.clear();
        self.finished = None;
        self.start();
    }

    pub(super) fn shutdown(&mut self) {
        self.relay.handle_shutdown(self.now());
        self.settle();
    }

    // The stream.

    /// Commits one transaction with an event for each key, and reads it.
    pub(super) fn insert(&mut self, keys: &str) -> Lsn {
        let end = self.commit(keys);
        self.read_all();
        end
    }

    /// Commits one transaction with an event for each key; keys are words.
    pub(super) fn commit(&mut self, keys: &str) -> Lsn {
        let changes = keys.split_whitespace().map(|key| self.event("order", key)).collect();
        self.postgres.commit(changes)
    }

    /// An event that is unlike every other.
    pub(super) fn event(&mut self, kind: &str, key: &str) -> Change {
        self.events += 1;
        let value = format!("{key}#{}", self.events);
        Change::Event { kind: kind.to_owned(), key: key.to_owned(), value }
    }

    /// An event with a payload of so many bytes.
    pub(super) fn large_event(&mut self, key: &str, bytes: usize) -> Change {
        self.events += 1;
        let value = format!("{key}#{:0>bytes$}", self.events);
        Change::Event { kind: "order".to_owned(), key: key.to_owned(), value }
    }

    /// Reads while the relay wants to and the server has something.
    pub(super) fn read_all(&mut self) {
        while self.read() {}
    }

    /// Reads one frame, if the relay wants to and the server has one.
    pub(super) fn read(&mut self) -> bool {
        if !self.relay.wants_input() {
            return false;
        }
        let Some(frame) = self.postgres.next_frame() else { return false };
        self.frame(&frame);
        true
    }

    pub(super) fn keepalive(&mut self, reply_requested: bool) {
        let frame = self.postgres.keepalive(reply_requested);
        self.frame(&frame);
    }

    pub(super) fn frame(&mut self, frame: &[u8]) {
        let Self { relay, kafka, happened, .. } = self;
        let now = Now { tick: Tick::new(Duration::from_millis(self.now_ms)), unix_ms: 0 };
        relay.handle_frame(now, frame, &mut |record| {
            kafka.produce(&record);
            happened.push(format!("produce {}", kafka.in_flight.last().unwrap().key));
        });
        self.settle();
    }

    // Kafka.

    /// The record in flight with this key is written and acknowledged.
    pub(super) fn ack(&mut self, key: &str) {
        let index = self.in_flight_index(key);
        self.ack_index(index);
    }

    pub(super) fn ack_index(&mut self, index: usize) {
        let token = self.kafka.write(index);
        self.relay.handle_ack(self.now(), token);
        self.relay.handle_reports_end(self.now());
        self.settle();
    }

    /// Everything in flight, and what follows because of it.
    pub(super) fn ack_all(&mut self) {
        while !self.kafka.in_flight.is_empty() {
            self.ack_index(0);
            self.read_all();
        }
    }

    /// The producer dies. What is in flight is lost.
    pub(super) fn kill_producer(&mut self) {
        self.relay.handle_producer_failed(self.now(), "fatal");
        for sent in std::mem::take(&mut self.kafka.in_flight) {
            self.relay.handle_lost(sent.token, "fatal");
        }
        if self.kafka.progress_in_flight.pop_front().is_some() {
            self.relay.handle_progress_lost(self.now(), "fatal");
        }
        self.relay.handle_reports_end(self.now());
        self.settle();
    }

    pub(super) fn refuse(&mut self, key: &str) {
        let index = self.in_flight_index(key);
        let sent = self.kafka.in_flight.remove(index);
        let error = RecordError {
            kind: RecordErrorKind::RecordTooLarge,
            event_id: Some(sent.value),
            topic: Some(sent.topic),
            key: Some(sent.key.into_bytes()),
            message: "message too large".to_owned(),
        };
        self.relay.handle_refused(sent.token, &error);
        self.relay.handle_reports_end(self.now());
        self.settle();
    }

    /// As a candidate of its batch, and then alone.
    pub(super) fn refuse_for_good(&mut self, key: &str) {
        while self.finished.is_none() && self.in_flight().contains(&key) {
            self.refuse(key);
            let others: Vec<_> = self.kafka.in_flight.drain(..).collect();
            for sent in others {
                self.relay.handle_lost(sent.token, "gone with the producer");
            }
            self.relay.handle_reports_end(self.now());
            self.settle();
            self.read_lost();
        }
    }

    /// What was lost with a producer is read again.
    pub(super) fn read_lost(&mut self) {
        self.stream_ended();
        self.read_all();
        self.topics_found();
        self.read_all();
    }

    /// The oldest parcel in flight is committed.
    pub(super) fn commit_parcel(&mut self) {
        let token = self.letters.commit();
        self.relay.handle_parked(self.now(), token);
        self.settle();
    }

    /// The operator wants a row published.
    pub(super) fn replay(&mut self, id: i64) {
        let replay = self.letters.replay(id);
        self.relay.handle_replay(self.now(), replay);
        self.settle();
        self.read_all();
    }

    /// All of them, and what follows because of it.
    pub(super) fn commit_parcels(&mut self) {
        while !self.letters.in_flight.is_empty() {
            self.commit_parcel();
            self.read_all();
        }
    }

    /// The progress record in flight is written and acknowledged.
    pub(super) fn ack_progress(&mut self) {
        let offset = self.kafka.write_progress();
        self.relay.handle_progress_acked(self.now(), Some(offset));
        self.settle();
    }

    /// Acknowledges progress until nothing is to be recorded any more.
    pub(super) fn record(&mut self) {
        let interval = self.settings.progress_interval.as_millis();
        self.step(u64::try_from(interval).unwrap());
        while !self.kafka.progress_in_flight.is_empty() {
            self.ack_progress();
        }
    }

    /// Every topic that was asked about is there.
    pub(super) fn topics_found(&mut self) {
        while let Some(topic) = self.asked.pop_front() {
            let info = info(self.kafka.partitions_of(&topic));
            self.topic_answer(&topic, Ok(info));
        }
    }

    /// The topic is looked up again, and takes everything now.
    pub(super) fn larger_limit(&mut self) {
        self.relay.topics.ask_again(0);
        self.insert("b");
        self.topics_found();
        self.ack_all();
    }

    pub(super) fn topic_fails(&mut self, error: &TopicError) {
        let topic = self.asked.pop_front().expect("a topic was asked about");
        self.topic_answer(&topic, Err(error.clone()));
    }

    pub(super) fn topic_answer(&mut self, topic: &str, answer: Result<TopicInfo, TopicError>) {
        self.relay.handle_topic(self.now(), topic, answer);
        self.settle();
    }

    /// Another relay takes the progress topic over.
    pub(super) fn foreign_claim(&mut self) {
        let mut progress = self.kafka.recorded().progress.expect("something to take over");
        progress.acquisition += 1;
        progress.written_at_ms += 12_345;
        self.kafka.progress.push((progress.key(), Some(progress.value())));
    }

    // What came of it.

    /// Everything since the last call, notes apart.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.happened)
    }

    /// As [`Self::take`], without the reports of positions.
    pub(super) fn take_deeds(&mut self) -> Vec<String> {
        let mut deeds = self.take();
        deeds.retain(|it| !it.starts_with("status"));
        deeds
    }

    /// Keys in flight.
    pub(super) fn in_flight(&self) -> Vec<&str> {
        self.kafka.in_flight.iter().map(|sent| sent.key.as_str()).collect()
    }

    /// Keys of what is written.
    pub(super) fn written(&self) -> Vec<&str> {
        self.kafka.written.iter().map(|sent| sent.key.as_str()).collect()
    }

    /// How much a kill would repeat at most.
    pub(super) fn unrecorded(&self) -> u64 {
        self.relay.window.handed_out() - self.relay.recorded_records
    }

    /// The code of the stop that it ended with.
    pub(super) fn stop_code(&self) -> Option<&'static str> {
        let outcome = self.finished.as_ref()?;
        outcome.as_ref().err().map(|stop| stop.code.as_str())
    }

    fn in_flight_index(&self, key: &str) -> usize {
        let mut sent = self.kafka.in_flight.iter();
        sent.position(|sent| sent.key == key).expect("a record in flight with this key")
    }

    pub(super) fn forget_session(&mut self) {
        self.letters.in_flight.clear();
        self.postgres.end();
        self.awaits = Awaits::default();
        self.server_is_silent = false;
    }

    /// What a shell does after each input.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(output) = self.relay.poll_output() {
                assert!(self.finished.is_none(), "nothing comes after the end: {output:?}");
                self.carry_out(output);
            }
            if !self.retry() {
                return;
            }
        }
    }

    fn retry(&mut self) -> bool {
        if !self.relay.is_holding() {
            return false;
        }
        let now = self.now();
        let Self { relay, kafka, happened, .. } = self;
        relay.retry_held(now, &mut |record| {
            kafka.produce(&record);
            happened.push(format!("produce {}", kafka.in_flight.last().unwrap().key));
        });
        !self.relay.outputs.is_empty()
    }

    fn carry_out(&mut self, output: Output) {
        let words = match output {
            Output::Note(note) => return self.notes.push(note),
            Output::Open => {
                assert!(!self.awaits.session, "a session is being opened already");
                self.awaits.session = true;
                "open".to_owned()
            }
            Output::ReadProgress => {
                self.awaits.reread = true;
                "read progress".to_owned()
            }
            Output::CreateSlot => {
                self.awaits.slot = true;
                "create slot".to_owned()
            }
            Output::StartStream => {
                self.postgres.start();
                "start".to_owned()
            }
            Output::EndStream => {
                self.awaits.stream_end = true;
                "end".to_owned()
            }
            Output::CloseSession(reason) => {
                self.forget_session();
                format!("close: {reason}")
            }
            Output::Park(parcel) => {
                let words = format!("park {}", Letters::describe(&parcel));
                self.letters.in_flight.push_back(*parcel);
                words
            }
            Output::LoadParked { from, .. } => {
                let rows = self.letters.rows_from(from);
                self.relay.handle_loaded(self.now(), Some(rows));
                return;
            }
            Output::Replayed { id, outcome } => {
                let words = format!("replayed {id}: {outcome:?}");
                if outcome == Replayed::Published {
                    let (topic, key) = self.letters.resolve(id);
                    self.relay.handle_resolved(topic.as_deref(), key.as_deref());
                }
                words
            }
            Output::Status(status) => {
                self.postgres.confirm(status.flush);
                if status.reply_requested && !self.server_is_silent {
                    self.relay.handle_received(self.now());
                }
                format!("status {}", status.flush)
            }
            Output::AppendProgress { key, value } => self.append_progress(key, value),
            Output::DescribeTopic(topic) => {
                let words = format!("ask {topic}");
                self.asked.push_back(topic);
                words
            }
            Output::ReplaceProducer => {
                assert!(self.kafka.in_flight.is_empty(), "every report was handled");
                "replace producer".to_owned()
            }
            Output::Rotate => "rotate".to_owned(),
            Output::Fence => "fence".to_owned(),
            Output::CommitTransaction => "commit".to_owned(),
            Output::AbandonProducer => "abandon".to_owned(),
            Output::Finished(outcome) => {
                let words = match &outcome {
                    Ok(()) => "finished".to_owned(),
                    Err(stop) => format!("finished {}", stop.code),
                };
                self.finished = Some(outcome);
                words
            }
        };
        self.happened.push(words);
    }

    fn append_progress(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> String {
        assert!(self.kafka.progress_in_flight.is_empty(), "one progress record at a time");
        let name = String::from_utf8(key.clone()).unwrap();
        let entry = (0, &key[..], value.as_deref());
        let recorded = Recorded::read([entry]).expect("a progress record");
        let words = match recorded.progress {
            Some(progress) => {
                let partial = progress.partial.map_or(0, |partial| partial.changes);
                let creating = if progress.creating { " creating" } else { "" };
                format!("record {}: {}+{partial}{creating}", progress.acquisition, progress.end_lsn)
            }
            None if value.is_none() => format!("forget {name}"),
            None => format!("record {name}"),
        };
        self.kafka.progress_in_flight.push_back((key, value));
        words
    }
}

pub(super) fn info(partitions: u32) -> TopicInfo {
    TopicInfo { partitions, max_message_bytes: None, compacted: false }
}
