//! `/status`: the state of the relay as JSON. Fields are added, never renamed or removed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use outboxd_core::lsn::Lsn;
use serde::Serialize;

use super::About;
use crate::health::{Phase, Role, Snapshot};

#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) slot: String,
    pub(super) database: String,
    pub(super) version: &'static str,
    pub(super) pg_version: Option<String>,
    pub(super) role: Role,
    pub(super) phase: Phase,
    pub(super) ready: bool,
    /// The phase in words.
    pub(super) state: &'static str,
    pub(super) streaming_since: Option<String>,
    pub(super) position: Position,
    pub(super) lag: Lag,
    pub(super) in_flight: InFlight,
    pub(super) total: Total,
    pub(super) topics: Vec<Topic>,
    pub(super) slot_health: SlotHealth,
    pub(super) oldest_transaction_seconds: Option<f64>,
    pub(super) last_published: Option<String>,
    pub(super) last_confirmed: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Position {
    pub(super) wal_end: Option<Lsn>,
    pub(super) received: Option<Lsn>,
    pub(super) acked: Option<Lsn>,
    pub(super) confirmed: Option<Lsn>,
}

#[derive(Debug, Serialize)]
pub(super) struct Lag {
    pub(super) seconds: f64,
    pub(super) received_bytes: Option<u64>,
    pub(super) acked_bytes: Option<u64>,
    pub(super) confirmed_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct InFlight {
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// Since the start of the process.
#[derive(Debug, Serialize)]
pub(super) struct Total {
    pub(super) transactions: u64,
    pub(super) events_received: u64,
    pub(super) events_published: u64,
    pub(super) published_bytes: u64,
    pub(super) ignored_rows: u64,
    pub(super) headers_dropped: u64,
    pub(super) possibly_persisted: u64,
    pub(super) publish_errors: BTreeMap<&'static str, u64>,
    pub(super) postgres_reconnects: u64,
    pub(super) kafka_reconnects: u64,
    pub(super) backpressure_seconds: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Topic {
    pub(super) topic: String,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// Named as in `outboxd status --json`.
#[derive(Debug, Serialize)]
pub(super) struct SlotHealth {
    pub(super) wal_status: Option<String>,
    pub(super) retained_wal_bytes: Option<i64>,
    pub(super) safe_wal_bytes: Option<i64>,
}

impl Document {
    pub(super) fn new(about: &About, snapshot: &Snapshot) -> Self {
        let topic = |count: &crate::health::TopicCount| Topic {
            topic: count.topic.clone(),
            events: count.events,
            bytes: count.bytes,
        };
        Self {
            name: about.name.clone(),
            slot: about.slot.clone(),
            database: about.database.clone(),
            version: env!("CARGO_PKG_VERSION"),
            pg_version: snapshot.server_version.clone(),
            role: snapshot.role,
            phase: snapshot.phase,
            ready: snapshot.is_ready(),
            state: snapshot.phase.describe(),
            streaming_since: snapshot.streaming_since.map(time),
            position: Position::new(snapshot),
            lag: Lag::new(snapshot),
            in_flight: InFlight {
                events: snapshot.in_flight_events,
                bytes: snapshot.in_flight_bytes,
            },
            total: Total::new(snapshot),
            topics: snapshot.published.iter().map(topic).collect(),
            slot_health: SlotHealth {
                wal_status: snapshot.slot_wal_status.clone(),
                retained_wal_bytes: snapshot.slot_retained_wal_bytes,
                safe_wal_bytes: snapshot.slot_safe_wal_bytes,
            },
            oldest_transaction_seconds: snapshot.oldest_transaction_seconds,
            last_published: snapshot.last_published_ms.map(time),
            last_confirmed: snapshot.last_confirmed_ms.map(time),
        }
    }
}

impl Position {
    fn new(snapshot: &Snapshot) -> Self {
        let known = |lsn: Lsn| (lsn > Lsn::ZERO).then_some(lsn);
        Self {
            wal_end: known(snapshot.wal_end),
            received: known(snapshot.received),
            acked: known(snapshot.durable),
            confirmed: known(snapshot.confirmed),
        }
    }
}

impl Lag {
    fn new(snapshot: &Snapshot) -> Self {
        let bytes = snapshot.lag_bytes();
        Self {
            seconds: snapshot.lag_seconds,
            received_bytes: bytes.map(|bytes| bytes.received),
            acked_bytes: bytes.map(|bytes| bytes.acked),
            confirmed_bytes: bytes.map(|bytes| bytes.confirmed),
        }
    }
}

impl Total {
    fn new(snapshot: &Snapshot) -> Self {
        Self {
            transactions: snapshot.transactions,
            events_received: snapshot.events_received,
            events_published: snapshot.published.iter().map(|topic| topic.events).sum(),
            published_bytes: snapshot.published.iter().map(|topic| topic.bytes).sum(),
            ignored_rows: snapshot.ignored_rows,
            headers_dropped: snapshot.headers_dropped,
            possibly_persisted: snapshot.possibly_persisted,
            publish_errors: snapshot.publish_errors.clone(),
            postgres_reconnects: snapshot.postgres_reconnects,
            kafka_reconnects: snapshot.kafka_reconnects,
            backpressure_seconds: snapshot.backpressure_seconds,
        }
    }
}

/// A clock before the epoch is shown as the epoch.
fn time(unix_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}
