//! Everything outside of a relay: server, cluster, dead letters, clock, and who looks on.

use std::fmt;
use std::time::Duration;

use super::checker::Checker;
use super::cluster::{Cluster, Lane, Luck, Sent};
use super::coordinator::{Coordinator, Fate};
use super::letters::Letters;
use super::postgres::Server;
use super::truth::{EventId, TOPICS, event_of};
use crate::record::{Record, Token};
use crate::relay::Settings;
use crate::relay::replay::REPLAY;
use crate::time::{Now, Tick};
use crate::wire::StatusUpdate;

pub(super) struct Env {
    pub(super) settings: Settings,
    pub(super) server: Server,
    pub(super) cluster: Cluster,
    pub(super) letters: Letters,
    pub(super) checker: Checker,
    pub(super) now_ms: u64,
    /// All that happened, in words.
    pub(super) story: String,
}

impl Env {
    pub(super) fn new(settings: Settings) -> Self {
        let exactly_once = settings.transactions.map(|limits| limits.bytes);
        let checker = Checker::new(settings.parking.policy, exactly_once);
        let mut cluster = Cluster::default();
        cluster.coordinator = exactly_once.map(|_| Coordinator::default());
        Self {
            settings,
            server: Server::new(),
            cluster,
            letters: Letters::default(),
            checker,
            now_ms: 0,
            story: String::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        let tick = Tick::new(Duration::from_millis(self.now_ms));
        Now { tick, unix_ms: i64::try_from(self.now_ms).unwrap() }
    }

    pub(super) fn say(&mut self, words: fmt::Arguments<'_>) {
        use fmt::Write;
        writeln!(self.story, "{} {words}", self.now_ms).unwrap();
    }

    /// A record as it is handed out: where it goes, and which it is.
    pub(super) fn check(&self, record: &Record<'_>) -> (Lane, Token, EventId) {
        self.checker.handed_out(&self.server, record, record.token == REPLAY);
        let topic = TOPICS.iter().position(|it| *it == record.topic).expect("a topic of ours");
        ((topic, record.partition), record.token, event_of(record.value))
    }

    /// A position is reported to the server, if that still listens.
    pub(super) fn hear(&mut self, session: u32, status: &StatusUpdate) {
        let Some(before) = self.server.slot else { return };
        self.server.hear(session, status, self.now_ms);
        let confirmed = self.server.slot.map_or(before.confirmed, |slot| slot.confirmed);
        if confirmed != before.confirmed {
            let recorded = self.cluster.recorded_position();
            assert!(confirmed <= recorded, "{confirmed} is confirmed, {recorded} recorded");
            self.checker.position(&self.server, &self.letters, confirmed);
        }
    }

    /// The oldest request of a partition arrives.
    pub(super) fn process(&mut self, lane: Lane, luck: Luck) {
        for sent in self.cluster.process(lane, luck) {
            self.shown(lane, sent);
        }
    }

    /// The oldest end of a transaction arrives.
    pub(super) fn end_transaction(&mut self, fate: Fate) {
        let shown = self.cluster.end_transaction(fate);
        let events = shown.iter().filter_map(|(_, sent)| match sent {
            Sent::Event { event, .. } => Some(*event),
            Sent::Progress(_) => None,
        });
        let events: Vec<_> = events.collect();
        let (progress, records): (Vec<_>, Vec<_>) =
            shown.into_iter().partition(|(_, sent)| matches!(sent, Sent::Progress(_)));
        // All at once: what a position covers is there with it.
        for (lane, sent) in records.into_iter().chain(progress) {
            self.shown(lane, sent);
        }
        self.checker.committed_together(&self.server, &self.letters, &events);
    }

    fn shown(&mut self, lane: Lane, sent: Sent) {
        match sent {
            Sent::Event { event, .. } => {
                self.say(format_args!("written {event} to {lane:?}"));
                self.checker.wrote(&self.server, &self.letters, lane, event);
            }
            Sent::Progress(entry) => {
                let text = entry.1.as_deref().map(String::from_utf8_lossy);
                self.say(format_args!("recorded {text:?}"));
                self.checker.progress(&self.server, &self.letters, &entry);
            }
        }
    }

    /// The oldest insert of a dead letter is committed.
    pub(super) fn commit_letter(&mut self) {
        if let Some((event, reason)) = self.letters.commit() {
            self.say(format_args!("parked {event}"));
            self.checker.parked(&self.server, &self.letters, event, &reason);
        }
    }
}
