//! What the run loop shows to the outside: health, status page, metrics.
//!
//! The loop takes a [`Snapshot`] a few times a second, never per event, and gives it to the
//! [`Publisher`]. Whoever looks gets the latest one and never talks to the loop itself, so that a
//! slow reader cannot hold it up.

mod phase;
mod publisher;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod update;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboxd_core::lsn::Lsn;
use outboxd_core::relay::Sample;

pub use self::phase::{Phase, Role};
pub use self::publisher::{Publisher, Watcher};

/// The state of a relay at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was taken. `None`: the loop has not begun.
    pub taken: Option<Instant>,
    pub phase: Phase,
    pub role: Role,
    /// Milliseconds since the Unix epoch.
    pub streaming_since: Option<i64>,
    pub received: Lsn,
    pub durable: Lsn,
    pub confirmed: Lsn,
    /// The server's WAL end when it was last looked at; zero when it never was.
    pub wal_end: Lsn,
    pub in_flight_events: u64,
    pub in_flight_bytes: u64,
    pub transactions: u64,
    pub events_received: u64,
    pub ignored_rows: u64,
    pub headers_dropped: u64,
    /// Messages with our prefix outside of a transaction.
    pub stray_messages: u64,
    pub published: Vec<TopicCount>,
    /// Records that Kafka did not take, by the kind of the error.
    pub publish_errors: BTreeMap<&'static str, u64>,
    /// Events parked by this process, by the kind of the error; `behind`: because of another.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Leaves of the outbox, by what was done about them when it was rotated.
    pub rotations: BTreeMap<&'static str, u64>,
    /// Rows of the dead-letter table that are not done with.
    pub parked_events: u64,
    /// Keys that have to wait.
    pub parked_keys: u64,
    /// Records that may have been written although their producer died: possible duplicates.
    pub possibly_persisted: u64,
    pub postgres_reconnects: u64,
    /// Producers that replaced a failed one.
    pub kafka_reconnects: u64,
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
    /// Since the snapshot before; for the histograms, and not passed on to watchers.
    pub samples: Vec<Sample>,
    pub(crate) memory: Memory,
}

/// What the next snapshot needs to know of this one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    draining: bool,
    pressed_since: Option<Instant>,
    caught_up_ms: Option<i64>,
    /// Where the server's log ended when the session was opened: before that position is reached
    /// again, an empty window does not mean that there is nothing to do.
    catch_up_to: Lsn,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicCount {
    pub topic: String,
    pub events: u64,
    pub bytes: u64,
}

/// How far each stage is behind the end of the server's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LagBytes {
    pub received: u64,
    pub acked: u64,
    pub confirmed: u64,
}

impl Snapshot {
    /// Whether the loop has turned lately. Says nothing about Postgres or Kafka.
    pub fn is_alive(&self) -> bool {
        self.taken.is_none_or(|taken| taken.elapsed() <= TICK_WITHIN)
    }

    /// Whether it does its work: events flow, or it stands by for the one that publishes them.
    pub fn is_ready(&self) -> bool {
        self.is_alive() && self.phase.is_ready()
    }

    /// `None` while it does not own the stream, or has not seen the end of the log.
    pub fn lag_bytes(&self) -> Option<LagBytes> {
        let known = self.role == Role::Active && self.wal_end > Lsn::ZERO;
        known.then(|| LagBytes {
            received: self.wal_end.bytes_since(self.received),
            acked: self.wal_end.bytes_since(self.durable),
            confirmed: self.wal_end.bytes_since(self.confirmed),
        })
    }
}

/// The loop wakes at least once a second: this long without means that it hangs.
const TICK_WITHIN: Duration = Duration::from_secs(30);
