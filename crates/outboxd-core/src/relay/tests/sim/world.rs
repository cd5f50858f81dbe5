//! Two relays in their environment, and the steps that all of it takes.

use std::time::Duration;

use super::chance::Chance;
use super::checker::WHOLE;
use super::cluster::{Lane, Luck};
use super::coordinator::Fate;
use super::env::Env;
use super::letters::State;
use super::postgres::{Change, Row};
use super::process::Process;
use super::truth::{LIMIT, PARTITIONS};
use crate::parking::Policy;
use crate::relay::TransactionLimits;
use crate::relay::tests::settings;
use crate::stop::Code;
use crate::topic::{TopicError, TopicInfo};
use crate::window::Limits;

pub(super) struct World {
    pub(super) env: Env,
    pub(super) chance: Chance,
    pub(super) relays: [Process; 2],
    /// Whether relays may see what a topic takes.
    limit_is_readable: bool,
    /// Who had the lock last.
    owner: usize,
    /// Since when a topic is said to be unknown without a break, of each relay.
    unknown_since_ms: [Option<u64>; 2],
    seed: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut settings = settings();
        settings.rules.create_slot = true;
        settings.rules.adopt_slot = false;
        settings.limits =
            Limits { events: 1 + chance.index(12), bytes: 300 + chance.below(8000), overhead: 10 };
        settings.unrecorded_events_max = 1 + chance.below(16);
        settings.parking.policy = match chance.below(10) {
            0 => Policy::Halt,
            1 => Policy::Skip,
            _ => Policy::Park,
        };
        if chance.one_in(3) {
            let bytes = if chance.one_in(3) { 200 + chance.below(600) } else { WHOLE };
            let time = Duration::from_secs(10);
            settings.transactions = Some(TransactionLimits { bytes, time });
        }
        settings.rotate_every = chance.one_in(4).then_some(Duration::from_secs(1));
        let mut env = Env::new(settings);
        env.cluster.is_limited = chance.one_in(2);
        let relays = [0, 1].map(|index| Process::start(index, &mut env));
        let limit_is_readable = chance.one_in(2);
        let unknown_since_ms = [None; 2];
        Self { env, chance, relays, limit_is_readable, owner: 0, unknown_since_ms, seed }
    }

    /// One thing happens, of those that need no luck to be bad.
    pub(super) fn step(&mut self) {
        match self.chance.below(100) {
            0..12 => self.commit(),
            12..28 => self.send(),
            28..44 => self.read(),
            44..54 => self.produce(),
            54..64 => self.process(),
            64..74 => self.report(),
            74..80 => {
                let ms = 1 + self.chance.below(300);
                self.advance(ms);
            }
            80..88 => self.answer(),
            88..92 => self.describe(),
            92..98 => self.letters(),
            _ => self.operate(),
        }
    }

    pub(super) fn commit(&mut self) {
        let Self { env, chance, .. } = self;
        if env.server.slot.is_none() || chance.one_in(6) {
            return env.server.write_idle_wal();
        }
        let gap = [0, 0, 0x10, 0x80][chance.index(4)];
        let count = chance.below(5);
        let changes = (0..count).map(|ordinal| match chance.below(8) {
            0 => Change::OtherRow,
            1 => Change::Message,
            _ => {
                let key = (!chance.one_in(8)).then(|| chance.below(4));
                let (kind, is_large) = (chance.index(2), chance.one_in(12));
                let row = Row { kind, key, is_large, is_message: chance.one_in(4) };
                env.server.insert(env.now_ms, gap, u32::try_from(ordinal).unwrap(), row)
            }
        });
        let changes = changes.collect();
        env.server.commit(env.now_ms, gap, changes);
        env.checker.committed(env.server.events.len());
        env.say(format_args!("committed, {} events", env.server.events.len()));
    }

    /// The server writes to the socket of the session that streams.
    pub(super) fn send(&mut self) {
        let Self { env, chance, relays, .. } = self;
        for _ in 0..1 + chance.index(8) {
            let Some(relay) = relays.iter_mut().find(|relay| relay.is_holder(env)) else { return };
            let Some(connection) = &mut relay.connection else { return };
            if connection.received.len() >= SOCKET_FRAMES {
                return;
            }
            let Some(frame) = env.server.send(chance) else { return };
            connection.received.push_back(frame);
        }
    }

    fn read(&mut self) {
        let frames = 1 + self.chance.index(8);
        let Some(relay) = Self::acting(&mut self.chance, &mut self.relays) else { return };
        for _ in 0..frames {
            relay.read(&mut self.env);
        }
    }

    /// Requests go out; a dead producer gives something up.
    fn produce(&mut self) {
        for _ in 0..1 + self.chance.index(3) {
            let Some(relay) = Self::acting(&mut self.chance, &mut self.relays) else { return };
            let Some(lane) = self.chance.pick(&relay.producer.lanes()) else { continue };
            if relay.producer.is_dead {
                relay.give_up(&mut self.env, lane);
            } else {
                relay.producer.send(lane, &mut self.env.cluster, &mut self.chance);
            }
        }
    }

    fn process(&mut self) {
        if self.chance.one_in(4) {
            self.env.cluster.mark();
        }
        if !self.env.cluster.is_away && self.chance.one_in(2) {
            let fate = Fate::draw(&mut self.chance);
            self.env.end_transaction(fate);
        }
        for _ in 0..1 + self.chance.index(3) {
            let Some(lane) = self.chance.pick(&self.env.cluster.busy_lanes()) else { return };
            if !self.env.cluster.is_away {
                let luck = Luck::draw(&mut self.chance);
                self.env.process(lane, luck);
            }
        }
    }

    fn report(&mut self) {
        if self.chance.one_in(2) {
            self.report_end();
        }
        for _ in 0..1 + self.chance.index(3) {
            let Some(lane) = self.chance.pick(&self.env.cluster.answered_lanes()) else { return };
            self.report_lane(lane);
        }
    }

    /// The oldest answer of a partition arrives, unless nobody is there any more.
    pub(super) fn report_lane(&mut self, lane: Lane) {
        let Self { env, relays, .. } = self;
        let Some(answers) = env.cluster.answers.get_mut(&lane) else { return };
        let Some(answer) = answers.front() else { return };
        let relay = relays.iter_mut().find(|relay| relay.producer.id == answer.producer);
        if relay.as_ref().is_some_and(|relay| relay.frozen_until_ms.is_some()) {
            return;
        }
        let answer = answers.pop_front().expect("just seen");
        if let Some(relay) = relay.filter(|relay| relay.finished.is_none()) {
            relay.report(env, &answer);
        }
    }

    /// The answer to a commit arrives.
    pub(super) fn report_end(&mut self) {
        let Self { env, relays, .. } = self;
        let Some(coordinator) = &mut env.cluster.coordinator else { return };
        let Some(&(producer, ended)) = coordinator.answers.front() else { return };
        let relay = relays.iter_mut().find(|relay| relay.producer.id == producer);
        if relay.as_ref().is_some_and(|relay| relay.frozen_until_ms.is_some()) {
            return;
        }
        coordinator.answers.pop_front();
        if let Some(relay) = relay.filter(|relay| relay.finished.is_none()) {
            relay.transaction_ended(env, ended);
        }
    }

    /// What a session waits for.
    pub(super) fn answer(&mut self) {
        let index = self.chance.index(2);
        let is_fenced = !self.chance.one_in(8);
        self.answer_one(index, is_fenced);
    }

    /// `is_fenced`: whether a producer that is to shut out others succeeds.
    pub(super) fn answer_one(&mut self, index: usize, is_fenced: bool) {
        let Self { env, relays, .. } = self;
        let relay = &mut relays[index];
        let awaits = relay.awaits.clone();
        if !relay.acts() {
            return;
        }
        if awaits.fence {
            if !env.cluster.is_away {
                relay.fenced(env, is_fenced);
            }
        } else if awaits.session {
            if env.server.holder.is_none() {
                self.take_lock(index);
            }
        } else if relay.connection.is_some() && !relay.is_holder(env) && !relay.has_to_read() {
            relay.cut(env);
        } else if relay.meets_silence(env) && (awaits.slot || relay.relay.is_released()) {
            // The shell gives up a command, and a ping, that is not answered.
            relay.cut(env);
        } else if awaits.reread {
            relay.reread(env);
        } else if awaits.slot {
            relay.slot_created(env);
        } else if awaits.stream_end && !relay.meets_silence(env) {
            relay.stream_ended(env);
        } else if awaits.rows.is_some() && !env.letters.is_away {
            relay.rows_loaded(env);
        }
    }

    fn take_lock(&mut self, index: usize) {
        let former = std::mem::replace(&mut self.owner, index);
        if former != index {
            self.relays[former].excuse_unrecorded(&mut self.env);
        }
        self.env.say(format_args!("{index} has the lock"));
        self.relays[index].opened(&mut self.env);
    }

    fn describe(&mut self) {
        let luck = self.chance.below(8);
        let index = self.chance.index(2);
        if !self.relays[index].acts() || self.relays[index].asked.is_empty() {
            return;
        }
        let since = &mut self.unknown_since_ms[index];
        let for_ms = self.env.now_ms - since.unwrap_or(self.env.now_ms);
        let answer = match luck {
            0 if for_ms < UNKNOWN_FOR_MS => {
                since.get_or_insert(self.env.now_ms);
                Err(TopicError::Unknown)
            }
            0 | 1 => {
                *since = None;
                Err(TopicError::Transport("away".to_owned()))
            }
            _ => {
                *since = None;
                Ok(self.topic_info())
            }
        };
        self.relays[index].topic_answer(&mut self.env, answer);
    }

    pub(super) fn topic_info(&self) -> TopicInfo {
        let shows = self.limit_is_readable && self.env.cluster.is_limited;
        TopicInfo {
            partitions: PARTITIONS,
            max_message_bytes: shows.then_some(LIMIT),
            compacted: false,
        }
    }

    pub(super) fn letters(&mut self) {
        if self.env.letters.is_away {
            return;
        }
        if self.chance.one_in(2) {
            return self.env.commit_letter();
        }
        self.answer_letter();
    }

    pub(super) fn answer_letter(&mut self) {
        let Self { env, relays, .. } = self;
        let Some(&(session, token)) = env.letters.answers.front() else { return };
        let of = |relay: &Process| relay.connection.as_ref().map(|it| it.session);
        let relay = relays.iter_mut().find(|relay| of(relay) == Some(session));
        if relay.as_ref().is_some_and(|relay| !relay.acts()) {
            return;
        }
        env.letters.answers.pop_front();
        if let Some(relay) = relay {
            relay.parked(env, token);
        }
    }

    /// The operator decides about a row, or the relay does what was decided.
    fn operate(&mut self) {
        let Self { env, chance, .. } = self;
        let dead = env.letters.rows.values().filter(|row| row.state == State::Dead);
        let dead: Vec<_> = dead.map(|row| row.event).collect();
        if let Some(event) = chance.pick(&dead).filter(|_| chance.one_in(2)) {
            let discards = chance.one_in(5);
            let state = if discards { State::Discarding } else { State::Retrying };
            env.letters.row_mut(event).state = state;
        }
        if let Some(relay) = Self::acting(&mut self.chance, &mut self.relays) {
            relay.operate(&mut self.env);
        }
    }

    fn acting<'a>(chance: &mut Chance, relays: &'a mut [Process; 2]) -> Option<&'a mut Process> {
        let index = chance.index(2);
        Some(&mut relays[index]).filter(|relay| relay.acts())
    }

    /// What must hold of the relays after every step. The rest is checked as it happens.
    pub(super) fn check(&self) {
        let settings = &self.env.settings;
        for relay in &self.relays {
            let unreported = relay.producer.unreported();
            assert!(unreported <= settings.limits.events, "{unreported} records in flight");
            let unrecorded = relay.unrecorded();
            let capped = unrecorded <= settings.unrecorded_events_max;
            let capped = capped || settings.transactions.is_some();
            assert!(capped, "{unrecorded} unrecorded events");
            if let Some(Err(stop)) = &relay.finished {
                let halts = settings.parking.policy == Policy::Halt;
                assert!(halts && matches!(stop.code, Code::Record(_)), "stopped: {stop:?}");
            }
        }
    }
}

/// On failure: how to see it again, and what came before.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines: Vec<_> = self.env.story.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("{}\nseed {}", last.join("\n"), self.seed);
        }
    }
}

const SOCKET_FRAMES: usize = 12;
/// Shorter than what makes an unknown topic a reason to park.
const UNKNOWN_FOR_MS: u64 = 10_000;
const LINES_SHOWN: usize = 120;
