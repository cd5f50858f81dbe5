use std::time::{Duration, Instant};

use outboxd_core::gate::{Observed, Server, Slot, SystemId};
use outboxd_core::lsn::Lsn;
use outboxd_core::relay::{Goal, Note, Relay};
use outboxd_core::time::{Now, Tick};

use super::*;
use crate::config::{Config, Flags, Inputs};
use crate::control::ServerVersion;
use crate::open::Watched;
use crate::wiring::{self, Wishes};

/// A relay that was started and has heard of nothing yet.
fn relay() -> Relay {
    let mut inputs = Inputs::default();
    Flags::set(&mut inputs.flags, "--database-url", "source.url", "postgres://db/shop");
    Flags::set(&mut inputs.flags, "--kafka", "kafka.bootstrap_servers", "kafka:9092");
    let config = Config::load(&inputs).unwrap();
    let settings = wiring::settings(&config, Wishes::default(), Goal::Run);
    Relay::new(settings, wiring::mapper(&config).unwrap())
}

fn at(seconds: u64) -> Now {
    let since = Duration::from_secs(seconds);
    Now { tick: Tick::new(since), unix_ms: 1_700_000_000_000 + since.as_millis() as i64 }
}

fn observed(flush_lsn: u64, slot: Option<Slot>) -> Observed {
    let server = Server {
        system_id: SystemId(1),
        timeline: 1,
        flush_lsn: Lsn::new(flush_lsn),
        database: "shop".to_owned(),
        history: Vec::new(),
    };
    Observed { server, slot, publication: None }
}

fn slot(wal_status: &str) -> Slot {
    Slot {
        plugin: Some("pgoutput".to_owned()),
        database: Some("shop".to_owned()),
        temporary: false,
        two_phase: false,
        active_pid: None,
        confirmed: None,
        lost: None,
        wal_status: Some(wal_status.to_owned()),
        safe_wal_bytes: Some(10),
        retained_wal_bytes: Some(20),
    }
}

#[test]
fn the_role_is_that_of_who_holds_the_lock() {
    let (mut relay, mut snapshot) = (relay(), Snapshot::default());
    for (phase, role) in [
        (Phase::Connecting, Role::Stopped),
        (Phase::StandingBy, Role::Standby),
        (Phase::Opening, Role::Active),
        (Phase::Streaming, Role::Active),
        (Phase::Released, Role::Active),
        // Nothing was claimed, so there is nothing to hold.
        (Phase::Draining, Role::Stopped),
        (Phase::Stopped, Role::Stopped),
    ] {
        snapshot.update(&mut relay, phase, at(0));
        assert_eq!((snapshot.phase, snapshot.role), (phase, role));
    }
}

#[test]
fn without_a_stream_the_lag_grows_from_when_it_was_last_caught_up() {
    let (mut relay, mut snapshot) = (relay(), Snapshot::default());
    let mut lag = |phase, seconds| {
        snapshot.update(&mut relay, phase, at(seconds));
        snapshot.lag_seconds
    };
    assert_eq!(lag(Phase::Connecting, 0), 0.0);
    assert_eq!(lag(Phase::Connecting, 7), 7.0);
    assert_eq!(lag(Phase::Streaming, 8), 0.0, "nothing to do");
    assert_eq!(lag(Phase::Released, 11), 3.0);
    assert_eq!(lag(Phase::StandingBy, 20), 0.0, "another does it");
    assert_eq!(lag(Phase::Opening, 22), 2.0);
    assert_eq!(lag(Phase::Opening, 1), 0.0, "the wall clock went back");
}

#[test]
fn an_empty_window_is_not_caught_up_before_the_log_was_read() {
    let (mut relay, mut snapshot) = (relay(), Snapshot::default());
    snapshot.update(&mut relay, Phase::Opening, at(0));
    snapshot.opened(&observed(5000, None), ServerVersion::from_number(150_004));
    snapshot.update(&mut relay, Phase::Streaming, at(4));
    assert_eq!(snapshot.lag_seconds, 4.0);
    let lag = LagBytes { received: 5000, acked: 5000, confirmed: 5000 };
    assert_eq!(snapshot.lag_bytes(), Some(lag));
}

#[test]
fn a_server_that_replaces_another_may_be_behind_it() {
    let mut snapshot = Snapshot::default();
    let version = ServerVersion::from_number(150_004);
    snapshot.opened(&observed(5000, Some(slot("lost"))), version);
    snapshot.opened(&observed(4000, Some(slot("extended"))), version);
    assert_eq!(snapshot.wal_end, Lsn::new(4000));
    assert_eq!(snapshot.slot_wal_status.as_deref(), Some("extended"));
    assert_eq!(snapshot.server_version.as_deref(), Some("15.4"));
}

#[test]
fn each_look_at_the_catalog_counts_whole() {
    let mut snapshot = Snapshot::default();
    let mut watched = Watched {
        wal_end: Lsn::new(9),
        slot: Some(slot("reserved")),
        publication: None,
        publication_changed: false,
        oldest_transaction: Duration::from_millis(1500),
    };
    snapshot.watched(&watched);
    let slot = (snapshot.slot_retained_wal_bytes, snapshot.slot_safe_wal_bytes);
    assert_eq!((snapshot.wal_end, slot), (Lsn::new(9), (Some(20), Some(10))));
    assert_eq!(snapshot.oldest_transaction_seconds, Some(1.5));
    watched.slot = None;
    snapshot.watched(&watched);
    assert_eq!(snapshot.slot_wal_status, None, "the slot was dropped");
}

#[test]
fn pressure_counts_while_it_lasts_and_once() {
    let (mut relay, mut snapshot) = (relay(), Snapshot::default());
    snapshot.observe_pressure(true);
    snapshot.memory.pressed_since = Instant::now().checked_sub(Duration::from_secs(5));
    snapshot.update(&mut relay, Phase::Streaming, at(0));
    assert!(snapshot.backpressure_seconds >= 5.0);
    snapshot.observe_pressure(false);
    let total = snapshot.backpressure_seconds;
    snapshot.observe_pressure(false);
    snapshot.update(&mut relay, Phase::Streaming, at(1));
    assert_eq!(snapshot.backpressure_seconds, total);
}

#[test]
fn notes_and_errors_are_counted() {
    let mut snapshot = Snapshot::default();
    assert!(!snapshot.is_draining());
    snapshot.heed(&Note::ProducerReplaced { lost: 3 });
    snapshot.heed(&Note::Released);
    snapshot.heed(&Note::Draining { in_flight: 0 });
    assert_eq!((snapshot.kafka_reconnects, snapshot.is_draining()), (1, true));
    for kind in ["producer_lost", "record_too_large", "producer_lost"] {
        snapshot.publish_error(kind);
    }
    let expected = [("producer_lost", 2), ("record_too_large", 1)].into();
    assert_eq!(snapshot.publish_errors, expected);
}

#[tokio::test]
async fn a_watcher_sees_the_latest_and_the_end() {
    let (mut publisher, mut watcher) = Publisher::new();
    for transactions in [1, 2] {
        publisher.publish(&mut Snapshot { transactions, ..Snapshot::default() });
    }
    assert_eq!(watcher.next().await.map(|snapshot| snapshot.transactions), Some(2));
    drop(publisher);
    assert!(watcher.next().await.is_none());
    assert_eq!(watcher.latest().transactions, 2);
}
