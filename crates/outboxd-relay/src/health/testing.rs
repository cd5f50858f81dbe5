//! Snapshots for tests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboxd_core::lsn::Lsn;
use outboxd_core::relay::Sample;

use super::{Phase, Role, Snapshot, TopicCount};

/// A relay in the middle of its work.
pub(crate) fn streaming() -> Snapshot {
    let topic = |topic: &str, events, bytes| TopicCount { topic: topic.to_owned(), events, bytes };
    Snapshot {
        taken: Some(Instant::now()),
        phase: Phase::Streaming,
        role: Role::Active,
        streaming_since: Some(1_700_000_000_000),
        received: Lsn::new(0x1_0000_0F00),
        durable: Lsn::new(0x1_0000_0E00),
        confirmed: Lsn::new(0x1_0000_0D00),
        wal_end: Lsn::new(0x1_0000_1000),
        in_flight_events: 7,
        in_flight_bytes: 1900,
        transactions: 12,
        events_received: 40,
        ignored_rows: 2,
        headers_dropped: 3,
        stray_messages: 12,
        rotations: BTreeMap::from([("truncated", 4), ("failed", 1)]),
        published: vec![topic("outbox.event.order", 30, 9000), topic("outbox.event.payment", 3, 9)],
        publish_errors: [("record_too_large", 1)].into(),
        dead_letters: [("unknown_topic", 1), ("behind", 2)].into(),
        parked_events: 3,
        parked_keys: 1,
        possibly_persisted: 4,
        postgres_reconnects: 5,
        kafka_reconnects: 6,
        backpressure_seconds: 1.25,
        lag_seconds: 0.75,
        last_published_ms: Some(1_700_000_100_250),
        last_confirmed_ms: Some(1_700_000_100_500),
        slot_retained_wal_bytes: Some(16_777_216),
        slot_wal_status: Some("reserved".to_owned()),
        oldest_transaction_seconds: Some(2.5),
        server_version: Some("15.4".to_owned()),
        ..Snapshot::default()
    }
}

pub(crate) fn sample(kafka_ms: u64, end_to_end_ms: i64) -> Sample {
    Sample { kafka: Duration::from_millis(kafka_ms), end_to_end_ms }
}

/// The loop hangs since half a minute and more.
pub(crate) fn hanging() -> Snapshot {
    let taken = Instant::now().checked_sub(Duration::from_secs(31));
    Snapshot { taken: Some(taken.expect("the machine is up for longer")), ..streaming() }
}
