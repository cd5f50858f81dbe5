//! Random interleavings of everything that may happen, with what must hold at every moment and what
//! must hold when all faults have ceased.

use std::collections::{BTreeMap, BTreeSet};

use super::driver::Driver;
use super::postgres::{Change, START};
use crate::topic::TopicError;

#[test]
fn nothing_is_lost_repeated_or_reordered() {
    for seed in 1..=CASES {
        let mut run = Run::new(seed);
        for _ in 0..run.chance.below(STEPS_MAX) {
            run.step();
            run.check();
        }
        run.heal();
    }
}

struct Run {
    seed: u64,
    chance: Chance,
    driver: Driver,
    /// How many repeated events the kills so far may have caused.
    repeats_max: usize,
    /// Transactions of the log that are known to be written in full.
    written_through: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let events = 1 + chance.below(8);
        let unrecorded_events_max = 1 + chance.below(12);
        let mut driver = Driver::with(|settings| {
            settings.limits.events = usize::try_from(events).unwrap();
            settings.unrecorded_events_max = unrecorded_events_max;
        });
        driver.start();
        Self { seed, chance, driver, repeats_max: 0, written_through: 0 }
    }

    fn step(&mut self) {
        match self.chance.below(100) {
            0..15 => self.commit(),
            15..40 => self.read(),
            40..58 => self.ack(),
            58..66 => self.ack_progress(),
            66..74 => self.driver.step(1 + self.chance.below(400)),
            74..82 => self.answer_session(),
            82..86 => self.answer_topic(),
            86..89 => self.keepalive(),
            89..92 => self.driver.cut(),
            92..95 => self.driver.kill_producer(),
            95..97 => self.freeze(),
            97..99 => self.kill(),
            _ => self.terminate(),
        }
        self.driver.take();
    }

    fn commit(&mut self) {
        let count = self.chance.below(5);
        let changes = (0..count).map(|_| match self.chance.below(8) {
            0 => Change::OtherRow,
            1 => Change::Message,
            _ => {
                let kind = ["order", "invoice"][self.chance.index(2)];
                let key = ["k0", "k1", "k2", "k3"][self.chance.index(4)];
                self.driver.event(kind, key)
            }
        });
        let changes = changes.collect();
        self.driver.postgres.commit(changes);
        if self.chance.below(4) == 0 {
            self.driver.postgres.write_idle_wal(0x200);
        }
    }

    fn read(&mut self) {
        for _ in 0..1 + self.chance.below(8) {
            self.driver.read();
        }
    }

    fn ack(&mut self) {
        let heads = self.driver.kafka.heads();
        if !heads.is_empty() {
            let index = heads[self.chance.index(heads.len())];
            self.driver.ack_index(index);
        }
    }

    fn ack_progress(&mut self) {
        if !self.driver.kafka.progress_in_flight.is_empty() {
            self.driver.ack_progress();
        }
    }

    fn answer_session(&mut self) {
        let awaits = self.driver.awaits;
        if awaits.session {
            self.driver.opened();
        } else if awaits.reread {
            self.driver.reread();
        } else if awaits.stream_end {
            self.driver.stream_ended();
        }
    }

    fn answer_topic(&mut self) {
        if self.driver.asked.is_empty() {
            return;
        }
        if self.chance.below(3) == 0 {
            self.driver.topic_fails(&TopicError::Transport("away".to_owned()));
        } else {
            self.driver.topics_found();
        }
    }

    fn keepalive(&mut self) {
        if self.driver.relay.wants_input() && self.driver.relay.is_streaming() {
            let asks = self.chance.below(2) == 0;
            self.driver.keepalive(asks);
        }
    }

    fn freeze(&mut self) {
        self.driver.freeze(8000);
        self.driver.timeout();
    }

    /// SIGKILL: what was in flight is written, or not.
    fn kill(&mut self) {
        self.repeats_max += usize::try_from(self.driver.unrecorded()).unwrap();
        for _ in 0..self.chance.below(4) {
            if let Some(&index) = self.driver.kafka.heads().first() {
                self.driver.kafka.write(index);
            }
        }
        let is_written = self.chance.below(2) == 0;
        if is_written && !self.driver.kafka.progress_in_flight.is_empty() {
            self.driver.kafka.write_progress();
        }
        self.driver.restart_process();
    }

    /// SIGTERM with everything reachable, and a new process.
    fn terminate(&mut self) {
        let has_claimed_in_vain =
            self.driver.awaits.session && !self.driver.relay.ledger.is_owned();
        if has_claimed_in_vain {
            // Behind a claim whose session was cut no position counts until the next one holds.
            self.repeats_max += usize::try_from(self.driver.unrecorded()).unwrap();
        }
        self.driver.shutdown();
        for _ in 0..HEALED_WITHIN {
            if self.driver.finished.is_some() {
                self.driver.restart_process();
                return;
            }
            self.serve();
        }
        panic!("seed {}: does not end: {:?}", self.seed, self.driver.relay);
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        let (driver, seed) = (&self.driver, self.seed);
        assert!(driver.finished.is_none(), "seed {seed}: {:?}", driver.finished);
        assert!(driver.in_flight().len() <= driver.settings.limits.events, "seed {seed}");
        assert!(driver.unrecorded() <= driver.settings.unrecorded_events_max, "seed {seed}");
        let confirmed = driver.postgres.slot.unwrap();
        let recorded = driver.kafka.recorded().progress.map_or(START, |it| it.end_lsn);
        assert!(confirmed <= recorded, "seed {seed}: confirmed {confirmed}, recorded {recorded}");
        let written: BTreeSet<_> = driver.kafka.written.iter().map(|sent| &sent.value).collect();
        assert!(
            driver.kafka.written.len() - written.len() <= self.repeats_max,
            "seed {seed}: more than {} repeated: {:?}",
            self.repeats_max,
            driver.kafka.written
        );
        let log = &driver.postgres.log;
        while log.get(self.written_through).is_some_and(|it| it.end_lsn <= recorded) {
            for change in &log[self.written_through].changes {
                let Change::Event { value, .. } = change else { continue };
                assert!(written.contains(value), "seed {seed}: {value} recorded, not written");
            }
            self.written_through += 1;
        }
    }

    /// All faults cease: everything arrives, in order, in a bounded number of steps.
    fn heal(&mut self) {
        let last = self.driver.postgres.log.last().map_or(START, |it| it.end_lsn);
        for _ in 0..HEALED_WITHIN {
            if self.driver.postgres.slot.unwrap() >= last {
                break;
            }
            self.serve();
            self.check();
        }
        let (driver, seed) = (&self.driver, self.seed);
        let slot = driver.postgres.slot.unwrap();
        assert!(slot >= last, "seed {seed}: stuck at {slot} of {last}: {:?}", driver.relay);
        let mut committed: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for change in driver.postgres.log.iter().flat_map(|it| &it.changes) {
            let Change::Event { kind, key, value } = change else { continue };
            let topic = format!("outbox.event.{kind}");
            committed.entry((topic, key.clone())).or_default().push(value.clone());
        }
        let mut published: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for sent in driver.kafka.written.iter().filter(|sent| seen.insert(&sent.value)) {
            let of_key = published.entry((sent.topic.clone(), sent.key.clone())).or_default();
            of_key.push(sent.value.clone());
        }
        assert_eq!(published, committed, "seed {seed}");
    }

    fn serve(&mut self) {
        self.answer_session();
        self.driver.topics_found();
        self.driver.read_all();
        while let Some(&index) = self.driver.kafka.heads().first() {
            self.driver.ack_index(index);
        }
        self.ack_progress();
        self.driver.step(50);
        self.driver.take();
    }
}

/// Xorshift: enough to choose by, the same on every machine.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }
}

const CASES: u64 = 2000;
const STEPS_MAX: u64 = 400;
const HEALED_WITHIN: u32 = 5000;
