//! The window against the model, under random interleavings of frames, acks, losses and restarts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::{Committed, Fate, Frame, Model, history};
use super::{Change, Durable, Limits, Window};
use crate::lsn::Lsn;

#[derive(Clone, Debug)]
enum Step {
    /// Deal with the next frame of the stream.
    Read,
    /// Look at the next change and leave it.
    Hold,
    Keepalive(usize),
    Ack(usize),
    /// The producer dies; every record in flight is reported as failed.
    LoseProducer,
    /// The server starts again at some earlier recorded position.
    RestartStream(usize),
    /// The present position is acknowledged by the progress topic.
    Record,
    /// A new process, at the recorded position.
    RestartProcess(usize),
}

/// The window, the model, and what an outside observer of both ends would know.
struct Run {
    window: Window,
    model: Model,
    recorded: Durable,
    /// Per event: how often it was handed out, lost, and acked.
    seen: BTreeMap<(usize, usize), Seen>,
    process_restarts: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    handed_out: u32,
    lost: u32,
    acked: u32,
    lane: u32,
}

impl Run {
    fn new(history: Vec<Committed>) -> Self {
        Self {
            window: Window::new(LIMITS, Durable::default()),
            model: Model::new(history),
            recorded: Durable::default(),
            seen: BTreeMap::new(),
            process_restarts: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Read => self.read(),
            Step::Hold => self.hold(),
            Step::Keepalive(how_far) => self.keepalive(*how_far),
            Step::Ack(which) => self.ack(*which),
            Step::LoseProducer => self.lose_producer(),
            Step::RestartStream(from) => self.restart_stream(*from),
            Step::Record => self.recorded = self.window.durable(),
            Step::RestartProcess(from) => {
                self.window = Window::new(LIMITS, self.recorded);
                self.model.restart_process(self.recorded);
                self.process_restarts += 1;
                self.restart_stream(*from);
            }
        }
        self.model.settle();
    }

    fn read(&mut self) {
        match self.model.next {
            Frame::Begin(index) => {
                self.window.begin(self.model.history[index].begin).expect("our own history");
            }
            Frame::Change(index, ordinal) => self.change(index, ordinal),
            Frame::Commit(index) => {
                self.window.commit(self.model.history[index].commit).expect("our own history");
            }
            Frame::Nothing => {}
        }
        self.model.step();
    }

    fn change(&mut self, index: usize, ordinal: usize) {
        let expected = self.model.expected_change(index, ordinal);
        assert_eq!(self.window.change().expect("inside a transaction"), expected);
        let seen = self.seen.entry((index, ordinal)).or_default();
        let lane = seen.lane + 1;
        match expected {
            Change::New(_) if self.model.history[index].events[ordinal] => {
                let token = self.window.hand_out(size(index, ordinal), lane).expect("room");
                assert_eq!(token, self.model.hand_out(index, ordinal));
                (seen.handed_out, seen.lane) = (seen.handed_out + 1, lane);
            }
            Change::Resend(token, _) => {
                self.window.hand_out_again(token, lane).expect("inside a transaction");
                self.model.fates[index][ordinal] = Fate::InFlight(token.0);
                (seen.handed_out, seen.lane) = (seen.handed_out + 1, lane);
            }
            Change::New(_) => {
                self.window.pass().expect("few changes");
                self.model.fates[index][ordinal] = Fate::Passed;
            }
            Change::Skip => self.window.pass().expect("few changes"),
        }
    }

    fn hold(&mut self) {
        if let Frame::Change(index, ordinal) = self.model.next {
            let expected = self.model.expected_change(index, ordinal);
            assert_eq!(self.window.change().expect("inside a transaction"), expected);
        }
    }

    fn keepalive(&mut self, how_far: usize) {
        let wal_end = Lsn::new(how_far as u64 % (self.model.sent_up_to().as_u64() + 1));
        self.window.advance_idle(wal_end);
        self.model.keepalive(wal_end);
    }

    fn ack(&mut self, which: usize) {
        let in_flight = self.model.in_flight();
        if in_flight.is_empty() {
            return;
        }
        let (index, ordinal, token) = in_flight[which % in_flight.len()];
        let seen = self.seen.get_mut(&(index, ordinal)).expect("it was handed out");
        assert_eq!(self.window.ack(token).lane, seen.lane);
        self.model.fates[index][ordinal] = Fate::Acked;
        seen.acked += 1;
    }

    fn lose_producer(&mut self) {
        for (index, ordinal, token) in self.model.in_flight() {
            let seen = self.seen.get_mut(&(index, ordinal)).expect("it was handed out");
            assert_eq!(self.window.lose(token), seen.lane);
            self.model.fates[index][ordinal] = Fate::Lost(token.0);
            seen.lost += 1;
        }
    }

    fn restart_stream(&mut self, from: usize) {
        let confirmed_at_most = self.model.ended_by(self.recorded.end_lsn);
        self.window.restart();
        self.model.restart_stream(from % (confirmed_at_most + 1));
    }

    fn check(&self) {
        let Self { window, model, .. } = self;
        let durable = model.durable();
        assert_eq!(window.durable(), durable);
        assert_eq!(window.end_lsn(), durable.end_lsn);
        let in_flight = model.in_flight();
        let bytes = in_flight.iter().map(|(index, ordinal, _)| u64::from(size(*index, *ordinal)));
        assert_eq!(window.unacked(), in_flight.len());
        assert_eq!(window.unacked_bytes(), bytes.sum::<u64>());
        assert_eq!(window.lost(), model.lost());
        assert_eq!(window.handed_out(), model.handed_out());
        assert_eq!(window.durable_records(), model.durable_records());
        assert_eq!(window.is_idle(), model.is_idle());
        assert_eq!(window.open_transaction(), model.open_transaction());
        assert_eq!(window.oldest_commit_time(), model.oldest_commit_time());
        assert_eq!(window.last_handed_out(), model.last_handed_out());
        self.check_nothing_is_missing_before(durable.end_lsn);
    }

    /// The promise itself, without the model: behind the position every event has been acked.
    fn check_nothing_is_missing_before(&self, position: Lsn) {
        for (index, committed) in self.model.history.iter().enumerate() {
            if committed.commit.end_lsn > position {
                break;
            }
            for (ordinal, _) in committed.events.iter().enumerate().filter(|(_, event)| **event) {
                let acked = self.seen.get(&(index, ordinal)).is_some_and(|it| it.acked > 0);
                assert!(acked, "event {ordinal} of transaction {index} is not durable");
            }
        }
    }

    /// Everything is read to the end, sent again where it was lost, and acknowledged.
    fn finish(&mut self) {
        if self.model.lost() > 0 {
            self.apply(&Step::RestartStream(0));
        }
        while self.model.next != Frame::Nothing {
            self.apply(&Step::Read);
            self.check();
        }
        while !self.model.in_flight().is_empty() {
            self.apply(&Step::Ack(0));
            self.check();
        }
        assert_eq!(self.window.end_lsn(), self.model.end_of_history());
        assert!(self.window.is_idle());
        self.check_how_often();
    }

    fn check_how_often(&self) {
        for (identity, seen) in self.seen.iter().filter(|(_, seen)| seen.handed_out > 0) {
            if self.process_restarts == 0 {
                assert_eq!(seen.handed_out, 1 + seen.lost, "event {identity:?}");
                assert_eq!(seen.acked, 1, "event {identity:?}");
            } else {
                assert!(seen.handed_out <= 1 + seen.lost + self.process_restarts);
            }
        }
    }
}

fn size(index: usize, ordinal: usize) -> u32 {
    (index * 10 + ordinal + 1) as u32
}

fn run(shapes: Vec<(u64, u64, Vec<bool>)>, steps: &[Step]) {
    let mut run = Run::new(history(shapes));
    for step in steps {
        run.apply(step);
        run.check();
    }
    run.finish();
}

fn any_step(process_restarts: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => Just(Step::Read),
        4 => Just(Step::Hold),
        6 => any::<usize>().prop_map(Step::Keepalive),
        25 => any::<usize>().prop_map(Step::Ack),
        2 => Just(Step::LoseProducer),
        4 => any::<usize>().prop_map(Step::RestartStream),
        8 => Just(Step::Record),
        process_restarts => any::<usize>().prop_map(Step::RestartProcess),
    ]
}

fn any_shapes() -> impl Strategy<Value = Vec<(u64, u64, Vec<bool>)>> {
    let changes = prop_oneof![
        1 => Just(Vec::new()),
        1 => prop::collection::vec(Just(false), 1..3),
        3 => prop::collection::vec(any::<bool>(), 1..6),
    ];
    prop::collection::vec((0..3_u64, 1..4_u64, changes), 1..12)
}

const LIMITS: Limits = Limits { events: 1_000, bytes: 1_000_000, overhead: 0 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn one_process_hands_out_each_event_once(
        shapes in any_shapes(),
        steps in prop::collection::vec(any_step(0), 0..160),
    ) {
        run(shapes, &steps);
    }

    #[test]
    fn many_processes_lose_nothing(
        shapes in any_shapes(),
        steps in prop::collection::vec(any_step(3), 0..160),
    ) {
        run(shapes, &steps);
    }
}
