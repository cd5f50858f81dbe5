//! What the run loop shows to the outside: health, status page, metrics.

use std::time::Instant;

use outboxd_core::lsn::Lsn;
use outboxd_core::relay::{Relay, Sample};
use outboxd_core::time::{Now, PgTimestamp};

use crate::open::Watched;

/// The state of a relay at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was taken, for `/livez`.
    pub taken: Option<Instant>,
    pub role: Role,
    /// Milliseconds since the Unix epoch.
    pub streaming_since: Option<i64>,
    pub received: Lsn,
    pub durable: Lsn,
    pub confirmed: Lsn,
    /// The server's WAL end when it was last looked at.
    pub wal_end: Lsn,
    pub in_flight_events: u64,
    pub in_flight_bytes: u64,
    pub transactions: u64,
    pub events_received: u64,
    pub ignored_rows: u64,
    pub headers_dropped: u64,
    pub published: Vec<TopicCount>,
    pub publish_errors: u64,
    /// Records that may have been written although their producer died: possible duplicates.
    pub possibly_persisted: u64,
    pub postgres_reconnects: u64,
    pub backpressure_seconds: f64,
    /// Age of the oldest commit that is not durable.
    pub lag_seconds: f64,
    pub last_published_ms: Option<i64>,
    pub last_confirmed_ms: Option<i64>,
    pub slot_retained_wal_bytes: Option<i64>,
    pub slot_safe_wal_bytes: Option<i64>,
    pub slot_wal_status: Option<String>,
    pub oldest_transaction_seconds: Option<f64>,
    pub server_version: Option<String>,
    /// Since the snapshot before.
    pub samples: Vec<Sample>,
    pressed_since: Option<Instant>,
    caught_up_ms: Option<i64>,
}

/// What a relay is among its likes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Active,
    Standby,
    #[default]
    Stopped,
}

#[derive(Clone, Debug)]
pub struct TopicCount {
    pub topic: String,
    pub events: u64,
    pub bytes: u64,
}

impl Snapshot {
    /// `pressed`: it streams, and does not read because too much is in flight.
    pub(crate) fn observe_pressure(&mut self, pressed: bool) {
        match (pressed, self.pressed_since) {
            (true, None) => self.pressed_since = Some(Instant::now()),
            (false, Some(since)) => {
                self.backpressure_seconds += since.elapsed().as_secs_f64();
                self.pressed_since = None;
            }
            _ => {}
        }
    }

    pub(crate) fn watched(&mut self, watched: &Watched) {
        self.wal_end = self.wal_end.max(watched.wal_end);
        self.oldest_transaction_seconds = Some(watched.oldest_transaction.as_secs_f64());
        if let Some(slot) = &watched.slot {
            self.slot_retained_wal_bytes = slot.retained_wal_bytes;
            self.slot_safe_wal_bytes = slot.safe_wal_bytes;
            self.slot_wal_status.clone_from(&slot.wal_status);
        }
    }

    pub(crate) fn update(&mut self, relay: &mut Relay, now: Now) {
        self.taken = Some(Instant::now());
        self.role = if relay.is_active() { Role::Active } else { Role::Standby };
        self.update_positions(relay, now);
        let window = relay.window();
        self.in_flight_events = window.unacked() as u64;
        self.in_flight_bytes = window.unacked_bytes();
        let stats = relay.stats();
        let published: Vec<TopicCount> = (0_u32..)
            .zip(&stats.published)
            .map(|(id, count)| TopicCount {
                topic: relay.topics().name(outboxd_core::record::TopicId(id)).to_owned(),
                events: count.events,
                bytes: count.bytes,
            })
            .collect();
        let sum = |counts: &[TopicCount]| counts.iter().map(|count| count.events).sum::<u64>();
        if sum(&published) > sum(&self.published) {
            self.last_published_ms = Some(now.unix_ms);
        }
        self.published = published;
        self.transactions = stats.transactions;
        self.events_received = stats.events_received;
        self.ignored_rows = stats.ignored_rows;
        self.headers_dropped = stats.headers_dropped;
        for name in relay.stats_mut().take_dropped_names() {
            tracing::warn!(event = "header.dropped", name, "a row's header has a reserved name");
        }
        self.samples = relay.stats_mut().take_samples();
    }

    fn update_positions(&mut self, relay: &Relay, now: Now) {
        self.received = relay.received();
        self.wal_end = self.wal_end.max(self.received);
        self.durable = relay.window().end_lsn();
        if relay.confirmed() > self.confirmed {
            self.confirmed = relay.confirmed();
            self.last_confirmed_ms = Some(now.unix_ms);
        }
        let oldest = relay.window().oldest_commit_time().map(PgTimestamp::unix_millis);
        if oldest.is_none() && relay.is_streaming() {
            self.caught_up_ms = Some(now.unix_ms);
        }
        let since = oldest.or(self.caught_up_ms.filter(|_| !relay.is_streaming()));
        let lag_ms = since.map_or(0, |since| now.unix_ms.saturating_sub(since).max(0));
        self.lag_seconds = lag_ms as f64 / 1e3;
    }
}
