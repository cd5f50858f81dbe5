//! A relay and the shell around it: carries out what comes out of the core, as far as that needs no
//! answer. Answers are steps of their own.

use std::collections::VecDeque;

use super::cluster::{Answer, Lane, PROGRESS, Sent};
use super::coordinator::{End, Ended};
use super::env::Env;
use super::letters::State;
use super::producer::{Producer, Report};
use super::truth::{EventId, event_of};
use crate::headers::Sequence;
use crate::record::Token;
use crate::relay::replay::REPLAY;
use crate::relay::tests::mapper;
use crate::relay::{CloseReason, Opened, Output, Relay, Replayed};
use crate::stop::{RecordError, RecordErrorKind, Stop};
use crate::topic::{TopicError, TopicInfo};

pub(super) struct Process {
    pub(super) index: usize,
    pub(super) relay: Relay,
    pub(super) producer: Producer,
    pub(super) connection: Option<Connection>,
    pub(super) awaits: Awaits,
    pub(super) asked: VecDeque<String>,
    /// By token.
    pub(super) handed: Vec<EventId>,
    /// Rows whose new state is still to be written.
    pub(super) resolutions: VecDeque<(EventId, State)>,
    /// The row that was offered to the relay last.
    replaying: Option<EventId>,
    pub(super) frozen_until_ms: Option<u64>,
    /// It stood still for so long that it must hand out nothing in this session.
    pub(super) is_stale: bool,
    pub(super) finished: Option<Result<(), Stop>>,
    /// The acquisition that its rows are written with.
    acquisition: u64,
    /// The timeline of its last session.
    timeline: u32,
}

/// Our end of a session. What was received is still read when the other end is gone.
pub(super) struct Connection {
    pub(super) session: u32,
    pub(super) received: VecDeque<Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Awaits {
    pub(super) session: bool,
    pub(super) reread: bool,
    pub(super) slot: bool,
    pub(super) stream_end: bool,
    pub(super) rows: Option<(u64, Sequence, Vec<i64>)>,
    /// These two belong to the producer, not to the session.
    pub(super) fence: bool,
    commit: bool,
}

impl Process {
    pub(super) fn start(index: usize, env: &mut Env) -> Self {
        let mut process = Self {
            index,
            relay: Relay::new(env.settings.clone(), mapper()),
            producer: match env.settings.transactions {
                Some(_) => Producer::none(),
                None => Producer::new(env.cluster.producer_id()),
            },
            connection: None,
            awaits: Awaits::default(),
            asked: VecDeque::new(),
            handed: Vec::new(),
            resolutions: VecDeque::new(),
            replaying: None,
            frozen_until_ms: None,
            is_stale: false,
            finished: None,
            acquisition: 0,
            timeline: 0,
        };
        process.relay.start(env.now());
        process.settle(env);
        process
    }

    pub(super) fn acts(&self) -> bool {
        self.frozen_until_ms.is_none() && self.finished.is_none()
    }

    /// The lock is ours and both ends of the session are there.
    pub(super) fn is_holder(&self, env: &Env) -> bool {
        self.connection.as_ref().is_some_and(|it| env.server.is_alive(it.session))
    }

    /// The other end of the session is there, and answers.
    fn is_heard(&self, env: &Env) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|it| env.server.is_alive(it.session) && !env.server.is_silent(it.session))
    }

    /// The other end of the session is there, and does not answer.
    pub(super) fn meets_silence(&self, env: &Env) -> bool {
        self.connection.as_ref().is_some_and(|it| env.server.is_silent(it.session))
    }

    /// How many records may be repeated when it dies now.
    pub(super) fn unrecorded(&self) -> u64 {
        self.relay.window.handed_out() - self.relay.recorded_records
    }

    /// What it handed to Kafka past its last progress record may be written again by others.
    pub(super) fn excuse_unrecorded(&self, env: &mut Env) {
        let recorded = usize::try_from(self.relay.recorded_records).unwrap();
        let unrecorded = self.handed.iter().skip(recorded);
        let resolutions = self.resolutions.iter().map(|(event, _)| event);
        for &event in unrecorded.chain(resolutions) {
            env.checker.excuse(event);
        }
        let in_flight = self.relay.is_replay_in_flight();
        if let Some(event) = self.replaying.filter(|_| in_flight) {
            env.checker.excuse(event);
        }
    }

    // The session.

    /// It has the lock.
    pub(super) fn opened(&mut self, env: &mut Env) {
        assert!(std::mem::take(&mut self.awaits.session), "a session was asked for");
        let session = env.server.connect(env.now_ms);
        self.connection = Some(Connection { session, received: VecDeque::new() });
        self.is_stale = false;
        if std::mem::replace(&mut self.timeline, env.server.timeline) != env.server.timeline {
            self.excuse_unrecorded(env);
        }
        let (recorded, observed) = (env.cluster.readable(), env.server.observed());
        self.relay.handle_opened(env.now(), Opened { recorded, observed });
        self.settle(env);
    }

    pub(super) fn reread(&mut self, env: &mut Env) {
        self.awaits.reread = false;
        let (recorded, high_watermark) = (env.cluster.readable(), env.cluster.high_watermark());
        self.relay.handle_reread(env.now(), recorded, high_watermark);
        self.settle(env);
    }

    pub(super) fn slot_created(&mut self, env: &mut Env) {
        self.awaits.slot = false;
        let at = env.server.create_slot();
        self.relay.handle_slot_created(env.now(), at);
        self.settle(env);
    }

    pub(super) fn stream_ended(&mut self, env: &mut Env) {
        self.awaits.stream_end = false;
        if let Some(connection) = &mut self.connection {
            connection.received.clear();
            env.server.end(connection.session);
        }
        self.relay.handle_stream_ended(env.now());
        self.settle(env);
    }

    pub(super) fn rows_loaded(&mut self, env: &mut Env) {
        let Some((acquisition, from, released)) = self.awaits.rows.take() else { return };
        // What was left undone by the session before comes first; then everything is read.
        let Some(_) = env.letters.take_over(acquisition, from) else { return self.cut(env) };
        self.acquisition = acquisition;
        let released = released.into_iter().map(|id| (usize::try_from(id).unwrap(), PUBLISHED));
        for (event, state) in self.resolutions.drain(..).chain(released) {
            env.letters.resolve(event, state);
        }
        let rows = env.letters.take_over(acquisition, from).expect("ours");
        self.relay.handle_loaded(env.now(), Some(rows));
        self.settle(env);
    }

    /// The connection is gone, or none could be had.
    pub(super) fn cut(&mut self, env: &mut Env) {
        self.disconnect(env);
        self.relay.handle_closed(env.now());
        self.settle(env);
    }

    pub(super) fn disconnect(&mut self, env: &mut Env) {
        let Awaits { fence, commit, .. } = self.awaits;
        self.awaits = Awaits { fence, commit, ..Awaits::default() };
        if let Some(connection) = self.connection.take() {
            env.server.disconnect(connection.session);
        }
    }

    /// Something of the session is still to be read.
    pub(super) fn has_to_read(&self) -> bool {
        let is_left = |connection: &Connection| !connection.received.is_empty();
        self.relay.is_streaming() && self.connection.as_ref().is_some_and(is_left)
    }

    // The stream.

    /// Reads one frame, if it wants to and there is one.
    pub(super) fn read(&mut self, env: &mut Env) -> bool {
        if !self.relay.wants_input() {
            return false;
        }
        let Some(connection) = &mut self.connection else { return false };
        let Some(frame) = connection.received.pop_front() else { return false };
        let mut handed = None;
        self.relay.handle_frame(env.now(), &frame, &mut |record| handed = Some(env.check(&record)));
        self.hand_out(env, handed);
        self.settle(env);
        true
    }

    // Kafka.

    pub(super) fn report(&mut self, env: &mut Env, answer: &Answer) {
        let now = env.now();
        match self.producer.handle(answer) {
            Report::Acked(records, offset) => {
                for sent in records {
                    match sent {
                        Sent::Event { token, .. } => self.relay.handle_ack(now, token),
                        Sent::Progress(_) => self.progress_acked(env, offset),
                    }
                }
            }
            Report::Refused(records) => self.refused(env, records),
            Report::Fatal => self.relay.handle_producer_failed(now, "out of order"),
            Report::Nothing => return,
        }
        self.relay.handle_reports_end(now);
        self.settle(env);
    }

    fn progress_acked(&mut self, env: &mut Env, offset: i64) {
        let was_owner = self.relay.owner.is_some();
        self.relay.handle_progress_acked(env.now(), Some(offset));
        if was_owner && self.relay.owner.is_none() {
            // Another relay has written there. What came after counts for nothing.
            self.excuse_unrecorded(env);
        }
    }

    fn refused(&mut self, env: &mut Env, records: Vec<Sent>) {
        for sent in records {
            let Sent::Event { token, event, .. } = sent else { continue };
            if env.checker.is_written(event) {
                // By an attempt whose answer was lost, before the limit was lowered.
                env.checker.excuse(event);
            }
            let error = RecordError {
                kind: RecordErrorKind::RecordTooLarge,
                event_id: Some(format!("event-{event}")),
                topic: None,
                key: None,
                message: "batch too large".to_owned(),
            };
            self.relay.handle_refused(token, &error);
        }
    }

    /// `init_transactions` has come back.
    pub(super) fn fenced(&mut self, env: &mut Env, is_done: bool) {
        self.awaits.fence = false;
        let id = env.cluster.producer_id();
        env.cluster.mark();
        let coordinator = env.cluster.coordinator.as_mut().expect("exactly-once mode");
        coordinator.initialise(id);
        if is_done {
            self.producer = Producer::new(id);
            self.relay.handle_fenced(env.now());
        } else {
            self.relay.handle_transaction_failed(env.now(), "no answer");
        }
        self.settle(env);
    }

    pub(super) fn transaction_ended(&mut self, env: &mut Env, ended: Ended) {
        if !std::mem::take(&mut self.awaits.commit) {
            return;
        }
        env.say(format_args!("{} is told: {ended:?}", self.index));
        match ended {
            Ended::Committed => self.relay.handle_committed(env.now(), None),
            Ended::CommittedLate => self.relay.handle_committed(env.now(), Some("late")),
            Ended::Failed => self.relay.handle_transaction_failed(env.now(), "unknown"),
        }
        self.settle(env);
    }

    fn end_transaction(&self, env: &mut Env, end: End) {
        let coordinator = env.cluster.coordinator.as_mut().expect("exactly-once mode");
        coordinator.wire.push_back((self.producer.id, end));
    }

    /// The producer dies of itself.
    pub(super) fn kill_producer(&mut self, env: &mut Env) {
        self.producer.is_dead = true;
        self.relay.handle_producer_failed(env.now(), "fatal");
        self.settle(env);
    }

    /// A dead producer gives up a batch. What was ever sent may be written, or yet be.
    pub(super) fn give_up(&mut self, env: &mut Env, lane: Lane) {
        let Some((records, was_sent)) = self.producer.give_up(lane) else { return };
        for sent in records {
            match sent {
                Sent::Event { token, event, .. } => {
                    if was_sent {
                        env.checker.excuse(event);
                    }
                    self.relay.handle_lost(token, "purged");
                }
                Sent::Progress(_) => self.relay.handle_progress_lost(env.now(), "purged"),
            }
        }
        self.relay.handle_reports_end(env.now());
        self.settle(env);
    }

    pub(super) fn topic_answer(&mut self, env: &mut Env, answer: Result<TopicInfo, TopicError>) {
        let Some(topic) = self.asked.pop_front() else { return };
        self.relay.handle_topic(env.now(), &topic, answer);
        self.settle(env);
    }

    // Dead letters.

    /// Does what the operator wants, one row at a time.
    pub(super) fn operate(&mut self, env: &mut Env) {
        if !self.relay.is_streaming() || !env.letters.is_owner(self.acquisition) {
            return;
        }
        if let Some((event, state)) = self.resolutions.pop_front() {
            self.resolve(env, event, state);
        } else if self.relay.turn.is_none()
            && let Some((event, state)) = env.letters.wanted()
        {
            if state == State::Discarding {
                self.resolve(env, event, State::Discarded);
            } else {
                self.replaying = Some(event);
                let replay = env.letters.replay(event);
                self.relay.handle_replay(env.now(), replay);
            }
        }
        self.settle(env);
    }

    fn resolve(&mut self, env: &mut Env, event: EventId, state: State) {
        env.say(format_args!("{} {event} {state:?}", self.index));
        if state == PUBLISHED {
            self.relay.handle_replay_recorded(i64::try_from(event).unwrap());
        }
        if env.letters.resolve(event, state) {
            let (topic, key) = env.letters.place(event);
            self.relay.handle_resolved(topic, key);
        }
    }

    /// The insert is committed, or was fenced off.
    pub(super) fn parked(&mut self, env: &mut Env, token: Option<Token>) {
        match token {
            Some(token) => self.relay.handle_parked(env.now(), token),
            None => return self.cut(env),
        }
        self.settle(env);
    }

    pub(super) fn timeout(&mut self, env: &mut Env) {
        self.relay.handle_timeout(env.now());
        self.settle(env);
    }

    pub(super) fn shutdown(&mut self, env: &mut Env) {
        self.relay.handle_shutdown(env.now());
        self.settle(env);
    }

    // What a shell does after each input.

    fn settle(&mut self, env: &mut Env) {
        loop {
            while let Some(output) = self.relay.poll_output() {
                assert!(self.finished.is_none(), "nothing comes after the end: {output:?}");
                self.carry_out(env, output);
            }
            // A new window counts from the beginning again.
            self.handed.truncate(usize::try_from(self.relay.window.handed_out()).unwrap());
            if !self.relay.is_holding() || self.finished.is_some() {
                return;
            }
            let mut handed = None;
            self.relay.retry_held(env.now(), &mut |record| handed = Some(env.check(&record)));
            self.hand_out(env, handed);
            if self.relay.outputs.is_empty() {
                return;
            }
        }
    }

    fn carry_out(&mut self, env: &mut Env, output: Output) {
        let index = self.index;
        match output {
            Output::Open => self.awaits.session = true,
            Output::ReadProgress => self.awaits.reread = true,
            Output::CreateSlot => self.awaits.slot = true,
            Output::StartStream => env.server.start(self.session()),
            Output::EndStream => self.awaits.stream_end = true,
            Output::CloseSession(reason) => {
                env.say(format_args!("{index} closes: {reason}"));
                if let CloseReason::TransactionTimedOut { at } = reason {
                    env.checker.timed_out(at);
                }
                if matches!(reason, CloseReason::ClaimLost) {
                    self.excuse_unrecorded(env);
                }
                assert!(!matches!(reason, CloseReason::Protocol(_)), "{reason}");
                self.disconnect(env);
            }
            Output::Park(parcel) => {
                let event = event_of(parcel.value.as_deref());
                env.say(format_args!("{index} parks {event}"));
                self.remember(parcel.token, event);
                env.letters.send(self.session(), self.acquisition, *parcel);
            }
            Output::LoadParked { acquisition, from, released } => {
                self.awaits.rows = Some((acquisition, from, released));
            }
            Output::Fence => {
                assert!(self.producer.is_dead && self.producer.is_empty(), "reports are missing");
                self.awaits.fence = true;
            }
            Output::CommitTransaction => {
                assert!(self.producer.is_empty(), "reports are missing");
                self.awaits.commit = true;
                self.end_transaction(env, End::Commit);
            }
            Output::AbandonProducer => {
                self.producer.is_dead = true;
                (self.awaits.fence, self.awaits.commit) = (false, false);
                self.end_transaction(env, End::Abort);
            }
            Output::Rotate => self.relay.handle_rotated(env.now(), Ok(())),
            Output::Replayed { id, outcome } => self.replayed(env, id, &outcome),
            Output::Status(status) => {
                env.hear(self.session(), &status);
                if status.reply_requested && self.is_heard(env) {
                    self.relay.handle_received(env.now());
                }
            }
            Output::AppendProgress { key, value } => {
                self.producer.take(PROGRESS, Sent::Progress((key, value)));
            }
            Output::DescribeTopic(topic) => self.asked.push_back(topic),
            Output::ReplaceProducer => {
                assert!(self.producer.is_dead && self.producer.is_empty(), "reports are missing");
                self.producer = Producer::new(env.cluster.producer_id());
            }
            Output::Note(note) => env.say(format_args!("{index} {note:?}")),
            Output::Finished(outcome) => {
                env.say(format_args!("{index} finished {outcome:?}"));
                self.disconnect(env);
                self.finished = Some(outcome);
            }
        }
    }

    fn replayed(&mut self, env: &mut Env, id: i64, outcome: &Replayed) {
        let event = usize::try_from(id).unwrap();
        env.say(format_args!("{} replayed {event}: {outcome:?}", self.index));
        match outcome {
            Replayed::Published => self.resolutions.push_back((event, PUBLISHED)),
            Replayed::Refused(_) if env.letters.is_owner(self.acquisition) => {
                let row = env.letters.row_mut(event);
                if row.state == State::Retrying {
                    row.state = State::Dead;
                }
            }
            Replayed::Refused(_) | Replayed::Later => {}
        }
    }

    fn hand_out(&mut self, env: &mut Env, handed: Option<(Lane, Token, EventId)>) {
        let Some((lane, token, event)) = handed else { return };
        env.say(format_args!("{} hands out {event}", self.index));
        assert!(!self.is_stale, "{event} handed out after standing still");
        if !self.is_holder(env) {
            // Read from its end of a session whose other end is gone; another relay sends it too.
            env.checker.excuse(event);
        }
        if token != REPLAY {
            self.remember(token, event);
        }
        let is_large = env.server.events[event].is_large;
        self.producer.take(lane, Sent::Event { token, event, is_large });
    }

    fn session(&self) -> u32 {
        self.connection.as_ref().expect("a session").session
    }

    fn remember(&mut self, token: Token, event: EventId) {
        let index = usize::try_from(token.0).unwrap();
        if index == self.handed.len() {
            self.handed.push(event);
        }
        assert_eq!(self.handed[index], event, "token {index} is of another event");
    }
}

const PUBLISHED: State = State::Published;
