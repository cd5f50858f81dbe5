//! How a snapshot is taken from the parts that know.

use std::time::Instant;

use outboxd_core::gate::{Observed, Slot};
use outboxd_core::parking::{Parcel, Reason};
use outboxd_core::record::TopicId;
use outboxd_core::relay::{Note, Relay};
use outboxd_core::time::{Now, PgTimestamp};

use super::{Phase, Role, Snapshot, TopicCount};
use crate::control::ServerVersion;
use crate::open::Watched;

impl Snapshot {
    /// `pressed`: it streams, and does not read because too much is in flight.
    pub(crate) fn observe_pressure(&mut self, pressed: bool) {
        if pressed != self.memory.pressed_since.is_some() {
            self.count_pressure();
            self.memory.pressed_since = pressed.then(Instant::now);
        }
    }

    /// What the core tells is heard here for the counts that only such news give.
    pub(crate) fn heed(&mut self, note: &Note) {
        match note {
            Note::ProducerReplaced { .. } => self.kafka_reconnects += 1,
            Note::Draining { .. } => self.memory.draining = true,
            _ => {}
        }
    }

    pub(crate) fn publish_error(&mut self, kind: &'static str) {
        *self.publish_errors.entry(kind).or_default() += 1;
    }

    pub(crate) fn parked(&mut self, parcel: &Parcel) {
        let kind = match &parcel.reason {
            Reason::Refused(error) | Reason::Skipped(error) => error.kind.as_str(),
            Reason::Behind => "behind",
        };
        *self.dead_letters.entry(kind).or_default() += 1;
    }

    pub(crate) fn rotated(&mut self, action: &'static str) {
        *self.rotations.entry(action).or_default() += 1;
    }

    /// A session was opened.
    pub(crate) fn opened(&mut self, observed: &Observed, version: ServerVersion) {
        self.server_version = Some(version.to_string());
        self.wal_end = observed.server.flush_lsn;
        self.memory.catch_up_to = observed.server.flush_lsn;
        self.see_slot(observed.slot.as_ref());
    }

    pub(crate) fn watched(&mut self, watched: &Watched) {
        self.wal_end = self.wal_end.max(watched.wal_end);
        self.oldest_transaction_seconds = Some(watched.oldest_transaction.as_secs_f64());
        self.see_slot(watched.slot.as_ref());
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.memory.draining
    }

    pub(crate) fn update(&mut self, relay: &mut Relay, phase: Phase, now: Now) {
        self.taken = Some(Instant::now());
        self.phase = phase;
        let unsure = if relay.is_active() { Role::Active } else { Role::Stopped };
        self.role = phase.role().unwrap_or(unsure);
        self.update_positions(relay, now);
        self.update_lag(relay, now);
        self.update_counts(relay, now);
        self.count_pressure();
        for name in relay.stats_mut().take_dropped_names() {
            tracing::warn!(event = "header.dropped", name, "a row's header has a reserved name");
        }
        self.samples = relay.stats_mut().take_samples();
    }

    fn see_slot(&mut self, slot: Option<&Slot>) {
        self.slot_retained_wal_bytes = slot.and_then(|slot| slot.retained_wal_bytes);
        self.slot_safe_wal_bytes = slot.and_then(|slot| slot.safe_wal_bytes);
        self.slot_wal_status = slot.and_then(|slot| slot.wal_status.clone());
    }

    /// Adds what has passed, so that it counts while it lasts and not only when it is over.
    fn count_pressure(&mut self) {
        if let Some(since) = &mut self.memory.pressed_since {
            let now = Instant::now();
            self.backpressure_seconds += now.duration_since(*since).as_secs_f64();
            *since = now;
        }
    }

    fn update_positions(&mut self, relay: &Relay, now: Now) {
        self.received = relay.received();
        self.wal_end = self.wal_end.max(self.received);
        let window = relay.window();
        self.durable = window.end_lsn();
        self.parked_events = relay.parking().rows();
        self.parked_keys = relay.parking().keys() as u64;
        self.in_flight_events = window.unacked() as u64;
        self.in_flight_bytes = window.unacked_bytes();
        if relay.confirmed() > self.confirmed {
            self.last_confirmed_ms = Some(now.unix_ms);
        }
        self.confirmed = relay.confirmed();
    }

    fn update_lag(&mut self, relay: &Relay, now: Now) {
        let oldest = relay.window().oldest_commit_time().map(PgTimestamp::unix_millis);
        let caught_up = match self.phase {
            // What there is to do, another does.
            Phase::StandingBy => true,
            Phase::Streaming => oldest.is_none() && self.received >= self.memory.catch_up_to,
            _ => false,
        };
        if caught_up || self.memory.caught_up_ms.is_none() {
            self.memory.caught_up_ms = Some(now.unix_ms);
        }
        let since = oldest.or(self.memory.caught_up_ms);
        let lag_ms = since.map_or(0, |since| now.unix_ms.saturating_sub(since).max(0));
        self.lag_seconds = lag_ms as f64 / 1e3;
    }

    fn update_counts(&mut self, relay: &Relay, now: Now) {
        let stats = relay.stats();
        let published: Vec<TopicCount> = (0_u32..)
            .zip(&stats.published)
            .map(|(id, count)| TopicCount {
                topic: relay.topics().name(TopicId(id)).to_owned(),
                events: count.events,
                bytes: count.bytes,
            })
            .collect();
        if events(&published) > events(&self.published) {
            self.last_published_ms = Some(now.unix_ms);
        }
        self.published = published;
        self.transactions = stats.transactions;
        self.events_received = stats.events_received;
        self.ignored_rows = stats.ignored_rows;
        self.headers_dropped = stats.headers_dropped;
        self.stray_messages = stats.stray_messages;
    }
}

fn events(counts: &[TopicCount]) -> u64 {
    counts.iter().map(|count| count.events).sum()
}
