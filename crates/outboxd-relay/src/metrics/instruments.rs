//! Every metric that the registry can hold, and where in a snapshot its value stands.

use ::metrics::{Counter, Gauge, Histogram};
use outboxd_core::relay::Sample;

use super::registry::{Counters, MaybeGauge, OneHot, Registry};
use crate::health::{Role, Snapshot};

#[derive(Debug)]
pub(super) struct Instruments {
    role: OneHot,
    transactions: Counter,
    events_received: Counter,
    events_published: Counters,
    published_bytes: Counters,
    publish_errors: Counters,
    dead_letters: Counters,
    parked_events: MaybeGauge,
    parked_keys: Gauge,
    headers_dropped: Counter,
    messages_ignored: Counter,
    rotations: Counters,
    reconnects: Counters,
    end_to_end: Histogram,
    kafka_ack: Histogram,
    in_flight_events: Gauge,
    in_flight_bytes: Gauge,
    lag: Lag,
    slot: Slot,
    last_published: MaybeGauge,
    last_confirmed: MaybeGauge,
}

#[derive(Debug)]
struct Lag {
    seconds: Gauge,
    received: MaybeGauge,
    acked: MaybeGauge,
    confirmed: MaybeGauge,
}

#[derive(Debug)]
struct Slot {
    retained_wal: MaybeGauge,
    safe_wal: MaybeGauge,
    wal_status: OneHot,
    oldest_transaction: MaybeGauge,
}

impl Instruments {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            role: registry.one_hot(
                "outboxd_role",
                "role",
                Role::ALL.map(Role::as_str),
                "What this relay is among those of its name: 1 for the present role.",
            ),
            transactions: registry
                .counter("outboxd_transactions_total", "Transactions read from the log."),
            events_received: registry.counter(
                "outboxd_events_received_total",
                "Outbox rows read from the log and handed to Kafka, those sent again included.",
            ),
            events_published: registry.counters(
                "outboxd_events_published_total",
                "topic",
                "Events acknowledged by Kafka.",
            ),
            published_bytes: registry.counters(
                "outboxd_published_bytes_total",
                "topic",
                "Bytes of the events acknowledged by Kafka, before compression.",
            ),
            publish_errors: registry.counters(
                "outboxd_publish_errors_total",
                "kind",
                "Records that Kafka did not take.",
            ),
            dead_letters: registry.counters(
                "outboxd_dead_letters_total",
                "kind",
                "Events parked by this process, by what was wrong.",
            ),
            parked_events: registry
                .maybe_gauge("outboxd_dead_letters", "Rows of the dead-letter table.")
                .with("state", "unresolved"),
            parked_keys: registry
                .gauge("outboxd_parked_keys", "Keys whose events wait behind a dead letter."),
            headers_dropped: registry.counter(
                "outboxd_headers_dropped_total",
                "Headers of rows that were dropped because their name is reserved.",
            ),
            messages_ignored: registry.counter(
                "outboxd_messages_ignored_total",
                "Logical messages with the prefix of events that were in no transaction.",
            ),
            rotations: registry.counters(
                "outboxd_rotations_total",
                "action",
                "Leaves of the outbox by what a rotation did about them, and calls that failed.",
            ),
            reconnects: registry.counters(
                "outboxd_reconnects_total",
                "target",
                "Sessions to Postgres lost, producers to Kafka replaced.",
            ),
            end_to_end: registry.histogram(
                "outboxd_end_to_end_seconds",
                "From the commit to Kafka's ack, of one event at a time.",
            ),
            kafka_ack: registry.histogram(
                "outboxd_kafka_ack_seconds",
                "From the hand-over to Kafka's ack, of one event at a time.",
            ),
            in_flight_events: registry
                .gauge("outboxd_in_flight_events", "Events handed over and not acknowledged."),
            in_flight_bytes: registry
                .gauge("outboxd_in_flight_bytes", "Bytes handed over and not acknowledged."),
            lag: Lag::new(registry),
            slot: Slot::new(registry),
            last_published: registry.maybe_gauge(
                "outboxd_last_published_timestamp_seconds",
                "When Kafka last acknowledged an event.",
            ),
            last_confirmed: registry.maybe_gauge(
                "outboxd_last_confirmed_timestamp_seconds",
                "When the confirmed position last rose.",
            ),
        }
    }

    pub(super) fn update(&mut self, registry: &Registry, snapshot: &Snapshot) {
        self.role.set(Some(snapshot.role.as_str()));
        self.update_counters(registry, snapshot);
        self.parked_events.set(registry, Some(snapshot.parked_events as f64));
        self.parked_keys.set(snapshot.parked_keys as f64);
        self.in_flight_events.set(snapshot.in_flight_events as f64);
        self.in_flight_bytes.set(snapshot.in_flight_bytes as f64);
        self.lag.update(registry, snapshot);
        self.slot.update(registry, snapshot);
        self.last_published.set(registry, seconds(snapshot.last_published_ms));
        self.last_confirmed.set(registry, seconds(snapshot.last_confirmed_ms));
        for Sample { kafka, end_to_end_ms } in &snapshot.samples {
            self.kafka_ack.record(kafka.as_secs_f64());
            // Two clocks: the ack may seem to precede the commit.
            self.end_to_end.record((*end_to_end_ms).max(0) as f64 / 1e3);
        }
    }

    fn update_counters(&mut self, registry: &Registry, snapshot: &Snapshot) {
        self.transactions.absolute(snapshot.transactions);
        self.events_received.absolute(snapshot.events_received);
        self.headers_dropped.absolute(snapshot.headers_dropped);
        self.messages_ignored.absolute(snapshot.stray_messages);
        for count in &snapshot.published {
            self.events_published.set(registry, &count.topic, count.events);
            self.published_bytes.set(registry, &count.topic, count.bytes);
        }
        for (kind, total) in &snapshot.publish_errors {
            self.publish_errors.set(registry, kind, *total);
        }
        for (kind, total) in &snapshot.dead_letters {
            self.dead_letters.set(registry, kind, *total);
        }
        for (action, total) in &snapshot.rotations {
            self.rotations.set(registry, action, *total);
        }
        self.reconnects.set(registry, "postgres", snapshot.postgres_reconnects);
        self.reconnects.set(registry, "kafka", snapshot.kafka_reconnects);
    }
}

impl Lag {
    fn new(registry: &Registry) -> Self {
        let bytes = |stage| {
            let help = "From the position of a stage to the end of the server's log, as known.";
            registry.maybe_gauge("outboxd_lag_bytes", help).with("stage", stage)
        };
        Self {
            seconds: registry.gauge(
                "outboxd_lag_seconds",
                "Age of the oldest commit not acknowledged, or of the last moment without one.",
            ),
            received: bytes("received"),
            acked: bytes("acked"),
            confirmed: bytes("confirmed"),
        }
    }

    fn update(&mut self, registry: &Registry, snapshot: &Snapshot) {
        self.seconds.set(snapshot.lag_seconds);
        let lag = snapshot.lag_bytes();
        self.received.set(registry, lag.map(|lag| lag.received as f64));
        self.acked.set(registry, lag.map(|lag| lag.acked as f64));
        self.confirmed.set(registry, lag.map(|lag| lag.confirmed as f64));
    }
}

impl Slot {
    fn new(registry: &Registry) -> Self {
        Self {
            retained_wal: registry.maybe_gauge(
                "outboxd_slot_retained_wal_bytes",
                "Log that the server keeps for the slot.",
            ),
            safe_wal: registry.maybe_gauge(
                "outboxd_slot_safe_wal_bytes",
                "Log that may still be written before the slot is lost; absent without a limit.",
            ),
            wal_status: registry.one_hot(
                "outboxd_slot_wal_status",
                "status",
                WAL_STATUSES,
                "State of the log that the slot needs: 1 for the present one.",
            ),
            oldest_transaction: registry.maybe_gauge(
                "outboxd_oldest_transaction_seconds",
                "Age of the oldest open transaction on the server, which holds the log back.",
            ),
        }
    }

    fn update(&mut self, registry: &Registry, snapshot: &Snapshot) {
        let bytes = |bytes: Option<i64>| bytes.map(|bytes| bytes as f64);
        self.retained_wal.set(registry, bytes(snapshot.slot_retained_wal_bytes));
        self.safe_wal.set(registry, bytes(snapshot.slot_safe_wal_bytes));
        self.wal_status.set(snapshot.slot_wal_status.as_deref());
        self.oldest_transaction.set(registry, snapshot.oldest_transaction_seconds);
    }
}

fn seconds(unix_ms: Option<i64>) -> Option<f64> {
    unix_ms.map(|unix_ms| unix_ms as f64 / 1e3)
}

/// As `pg_replication_slots` calls them.
const WAL_STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];
