use std::collections::BTreeSet;

use super::*;
use crate::health::testing::{sample, streaming};
use crate::health::{Phase, Role};

/// The text after these snapshots.
fn rendered(snapshots: &[Snapshot]) -> String {
    let mut metrics = Metrics::new();
    for snapshot in snapshots {
        metrics.update(snapshot);
    }
    metrics.scrape().render(snapshots.last().unwrap())
}

/// The samples of one metric, without help and type.
fn samples(text: &str, name: &str) -> BTreeSet<String> {
    let own =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    text.lines().filter(own).map(str::to_owned).collect()
}

fn assert_samples(text: &str, name: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|rest| format!("{name}{rest}")).collect();
    assert_eq!(samples(text, name), expected);
}

#[test]
fn a_snapshot_becomes_the_promised_lines() {
    let text = rendered(&[streaming()]);
    for (name, expected) in PROMISED {
        assert_samples(&text, name, expected);
    }
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("{{version=\"{version}\",pg_version=\"15.4\"}} 1");
    assert_samples(&text, "outboxd_build_info", &[&build]);
}

#[test]
fn nothing_is_there_that_is_not_promised() {
    let text = rendered(&[streaming()]);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    let mut promised: BTreeSet<&str> = PROMISED.iter().map(|(name, _)| *name).collect();
    promised.extend([
        "outboxd_build_info",
        "outboxd_end_to_end_seconds",
        "outboxd_kafka_ack_seconds",
    ]);
    promised.remove("outboxd_slot_safe_wal_bytes");
    assert_eq!(names, promised);
}

#[test]
fn the_text_pleases_a_scraper() {
    let mut busy = streaming();
    busy.samples = vec![sample(3, 20)];
    busy.slot_safe_wal_bytes = Some(1);
    busy.published[0].topic = "a \"quoted\" topic".to_owned();
    for snapshots in [vec![Snapshot::default()], vec![streaming()], vec![streaming(), busy]] {
        assert_eq!(lint::problems(&rendered(&snapshots)), [""; 0]);
    }
}

#[test]
fn samples_are_sorted_into_buckets_of_all_updates() {
    let with = |samples| Snapshot { samples, ..streaming() };
    let first = with(vec![sample(2, 40), sample(4000, 9_000_000)]);
    let text = rendered(&[first, with(vec![sample(2, -5)]), with(vec![])]);
    let bucket = |name: &str, le: &str, count: u64| {
        let line = format!("{name}_bucket{{le=\"{le}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    };
    bucket("outboxd_kafka_ack_seconds", "0.001", 0);
    bucket("outboxd_kafka_ack_seconds", "0.0025", 2);
    bucket("outboxd_kafka_ack_seconds", "5", 3);
    bucket("outboxd_end_to_end_seconds", "0.0005", 1);
    bucket("outboxd_end_to_end_seconds", "0.05", 2);
    bucket("outboxd_end_to_end_seconds", "3600", 2);
    bucket("outboxd_end_to_end_seconds", "+Inf", 3);
    assert_samples(&text, "outboxd_end_to_end_seconds_sum", &[" 9000.04"]);
    assert_samples(&text, "outboxd_kafka_ack_seconds_count", &[" 3"]);
}

#[test]
fn what_is_not_known_is_not_claimed() {
    let text = rendered(&[Snapshot::default()]);
    for name in [
        "outboxd_lag_bytes",
        "outboxd_slot_retained_wal_bytes",
        "outboxd_slot_safe_wal_bytes",
        "outboxd_oldest_transaction_seconds",
        "outboxd_last_published_timestamp_seconds",
        "outboxd_last_confirmed_timestamp_seconds",
    ] {
        assert_samples(&text, name, &[]);
    }
    assert_samples(
        &text,
        "outboxd_slot_wal_status",
        &[
            "{status=\"extended\"} 0",
            "{status=\"lost\"} 0",
            "{status=\"reserved\"} 0",
            "{status=\"unreserved\"} 0",
        ],
    );
}

#[test]
fn what_is_no_longer_known_is_no_number() {
    let away = Snapshot { role: Role::Stopped, phase: Phase::Connecting, ..streaming() };
    let text = rendered(&[streaming(), away]);
    let lag = ["acked", "confirmed", "received"].map(|stage| format!("{{stage=\"{stage}\"}} NaN"));
    assert_samples(&text, "outboxd_lag_bytes", &lag.each_ref().map(String::as_str));
    assert_samples(
        &text,
        "outboxd_role",
        &["{role=\"active\"} 0", "{role=\"standby\"} 0", "{role=\"stopped\"} 1"],
    );
}

#[test]
fn a_server_of_another_version_leaves_one_series() {
    let upgraded = Snapshot { server_version: Some("18.1".to_owned()), ..streaming() };
    let text = rendered(&[streaming(), upgraded]);
    let build = samples(&text, "outboxd_build_info");
    assert_eq!(build.len(), 1);
    assert!(build.iter().all(|line| line.contains("pg_version=\"18.1\"")), "{build:?}");
}

#[test]
fn two_relays_in_one_process_do_not_mix() {
    let (mut one, other) = (Metrics::new(), Metrics::new());
    one.update(&streaming());
    let text = other.scrape().render(&Snapshot::default());
    assert_samples(&text, "outboxd_transactions_total", &[" 0"]);
}

const PROMISED: &[(&str, &[&str])] = &[
    ("outboxd_role", &["{role=\"active\"} 1", "{role=\"standby\"} 0", "{role=\"stopped\"} 0"]),
    ("outboxd_transactions_total", &[" 12"]),
    ("outboxd_events_received_total", &[" 40"]),
    (
        "outboxd_events_published_total",
        &["{topic=\"outbox.event.order\"} 30", "{topic=\"outbox.event.payment\"} 3"],
    ),
    (
        "outboxd_published_bytes_total",
        &["{topic=\"outbox.event.order\"} 9000", "{topic=\"outbox.event.payment\"} 9"],
    ),
    ("outboxd_publish_errors_total", &["{kind=\"record_too_large\"} 1"]),
    ("outboxd_dead_letters_total", &["{kind=\"behind\"} 2", "{kind=\"unknown_topic\"} 1"]),
    ("outboxd_dead_letters", &["{state=\"unresolved\"} 3"]),
    ("outboxd_parked_keys", &[" 1"]),
    ("outboxd_in_flight_events", &[" 7"]),
    ("outboxd_in_flight_bytes", &[" 1900"]),
    ("outboxd_backpressure_seconds_total", &[" 1.25"]),
    (
        "outboxd_lag_bytes",
        &["{stage=\"received\"} 256", "{stage=\"acked\"} 512", "{stage=\"confirmed\"} 768"],
    ),
    ("outboxd_lag_seconds", &[" 0.75"]),
    ("outboxd_slot_retained_wal_bytes", &[" 16777216"]),
    ("outboxd_slot_safe_wal_bytes", &[]),
    (
        "outboxd_slot_wal_status",
        &[
            "{status=\"extended\"} 0",
            "{status=\"lost\"} 0",
            "{status=\"reserved\"} 1",
            "{status=\"unreserved\"} 0",
        ],
    ),
    ("outboxd_oldest_transaction_seconds", &[" 2.5"]),
    ("outboxd_headers_dropped_total", &[" 3"]),
    ("outboxd_messages_ignored_total", &[" 12"]),
    ("outboxd_rotations_total", &["{action=\"failed\"} 1", "{action=\"truncated\"} 4"]),
    ("outboxd_reconnects_total", &["{target=\"postgres\"} 5", "{target=\"kafka\"} 6"]),
    ("outboxd_last_published_timestamp_seconds", &[" 1700000100.25"]),
    ("outboxd_last_confirmed_timestamp_seconds", &[" 1700000100.5"]),
];
