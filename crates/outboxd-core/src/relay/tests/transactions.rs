//! Exactly-once mode, step by step.

use std::time::Duration;

use super::TOPIC;
use super::driver::Driver;
use crate::headers::Sequence;
use crate::lsn::Lsn;
use crate::parking::{Parcel, Policy, Reason};
use crate::progress::Progress;
use crate::record::{Identity, Token};
use crate::relay::{Settings, TransactionLimits};
use crate::stop::Code;

#[test]
fn the_fence_comes_before_the_claim_and_the_claim_stands_on_what_is_read_behind_it() {
    let mut driver = driver();
    driver.start();
    driver.opened();
    assert_eq!(driver.take(), ["open", "fence"]);
    driver.fenced();
    assert_eq!(driver.take(), ["read progress"]);
    driver.reread();
    assert_eq!(driver.take(), ["record 1: 0/1000+0"]);
    driver.ack_progress();
    assert_eq!(driver.take(), ["commit"], "a claim is a transaction too");
    driver.committed();
    assert_eq!(driver.take(), ["start", "status 0/1000"]);
}

#[test]
fn another_relays_commit_before_the_fence_counts() {
    let mut driver = warm();
    let (first, second) = (driver.recorded(), driver.insert("a"));
    driver.ack_all();
    // The other one is committed, and does not come to confirm it.
    driver.ack_progress();
    let newest = driver.kafka.progress.pop().expect("a record");
    driver.restart_process();
    driver.opened();
    // What was read at first is older.
    driver.kafka.progress.push(newest);
    driver.fenced();
    driver.take();
    driver.reread();
    assert_eq!(driver.take(), [format!("record 2: {second}+0")]);
    assert!(second > first.end_lsn);
}

#[test]
fn a_confirmed_position_that_cannot_be_read_before_the_fence_is_no_moved_slot() {
    let mut driver = warm();
    driver.insert("a");
    driver.ack_all();
    driver.ack_progress();
    driver.committed();
    let newest = driver.kafka.progress.pop().expect("a record");
    driver.restart_process();
    driver.opened();
    assert_eq!(driver.take().last().map(String::as_str), Some("fence"));
    driver.kafka.progress.push(newest);
    driver.fenced();
    driver.reread();
    assert_eq!(driver.finished, None);
}

#[test]
fn a_slot_that_was_moved_stops_behind_the_fence() {
    let mut driver = warm();
    driver.restart_process();
    driver.postgres.write_idle_wal(0x100);
    driver.postgres.slot = Some(driver.postgres.flush_lsn);
    driver.opened();
    driver.fenced();
    driver.reread();
    assert_eq!(stopped(&driver), Some(Code::SlotMoved));
}

#[test]
fn a_server_that_is_not_ours_fences_nobody() {
    let mut driver = warm();
    driver.restart_process();
    let mut recorded = driver.kafka.recorded();
    recorded.progress.as_mut().expect("a record").system_id = "another".to_owned();
    driver.opened_with(recorded);
    assert_eq!(stopped(&driver), Some(Code::OtherSystem));
    assert!(!driver.take().contains(&"fence".to_owned()));
}

#[test]
fn an_idle_system_commits_at_once_and_confirms_only_then() {
    let mut driver = warm();
    let before = driver.relay.confirmed();
    let end = driver.insert("a b");
    assert!(!driver.relay.wants_input(), "sealed behind its commit");
    driver.ack("b");
    assert_eq!(driver.take(), ["produce a", "produce b"]);
    driver.ack("a");
    assert_eq!(driver.take(), [format!("record 1: {end}+0")], "last of all");
    driver.ack_progress();
    assert_eq!(driver.take(), ["commit"]);
    assert_eq!((driver.relay.confirmed(), driver.published()), (before, 2));
    driver.committed();
    assert_eq!(driver.take(), [format!("status {end}")]);
    assert_eq!((driver.relay.confirmed(), driver.published()), (end, 4));
    assert!(driver.relay.wants_input());
}

#[test]
fn a_busy_system_keeps_it_open_four_times_as_long_as_a_commit_takes() {
    let mut driver = warm();
    driver.insert("a");
    driver.step(20);
    driver.ack_all();
    driver.ack_progress();
    driver.step(30);
    driver.committed();
    driver.take();
    for keys in ["a", "b", "a b"] {
        driver.insert(keys);
        driver.step(60);
        assert!(driver.relay.wants_input(), "{keys} is not worth a commit yet");
    }
    driver.step(20);
    assert!(!driver.relay.wants_input());
    driver.ack_all();
    driver.ack_progress();
    assert_eq!(driver.take().last().map(String::as_str), Some("commit"));
}

#[test]
fn a_transaction_of_the_database_is_not_torn() {
    let mut driver = warm();
    driver.commit("a b a b");
    for _ in 0..3 {
        driver.read();
    }
    driver.ack_all_in_flight();
    driver.step(9_000);
    assert!(driver.kafka.progress_in_flight.is_empty(), "its commit was not read");
    driver.read_all();
    driver.ack_all();
    assert_eq!(driver.kafka.progress_in_flight.len(), 1);
}

#[test]
fn above_the_limit_it_is_split_and_the_position_says_where() {
    let mut driver = warm_with(|settings| {
        settings.transactions = Some(TransactionLimits { bytes: 5000, ..limits() });
    });
    let changes = (0..4).map(|_| driver.large_event("a", 2000)).collect();
    let end = driver.postgres.commit(changes);
    driver.read_all();
    driver.ack_all();
    driver.ack_progress();
    assert_eq!(driver.recorded().partial.map(|partial| partial.changes), Some(2));
    driver.committed();
    driver.read_all();
    driver.ack_all();
    driver.ack_progress();
    driver.committed();
    driver.read_all();
    driver.step(10_000);
    driver.ack_progress();
    driver.committed();
    assert_eq!(driver.relay.confirmed(), end);
}

#[test]
fn one_that_does_not_end_in_time_is_aborted_once_and_then_split() {
    let mut driver = warm();
    driver.commit("a b");
    for again in [false, true] {
        driver.postgres_stalls_after_a_record();
        driver.ack_all_in_flight();
        driver.take();
        driver.step(9_999);
        assert!(driver.take_deeds().is_empty());
        driver.step(1);
        if again {
            while !driver.kafka.progress_in_flight.is_empty() {
                driver.ack_progress();
            }
            assert_eq!(driver.recorded().partial.map(|partial| partial.changes), Some(1));
            return;
        }
        let deeds = driver.take();
        assert!(deeds[0].starts_with("close: the transaction at "), "{deeds:?}");
        assert_eq!(deeds[1..], ["abandon", "open"]);
        driver.forget_session();
        driver.awaits.session = true;
        driver.reopened();
    }
}

#[test]
fn a_dead_producer_takes_its_transaction_with_it() {
    let mut driver = warm();
    driver.commit("a");
    driver.insert("b");
    driver.ack("a");
    driver.take();
    driver.kill_producer();
    assert_eq!(driver.take(), ["abandon", "close: the Kafka transaction was aborted", "open"]);
    driver.reopened();
    assert_eq!(driver.published(), 2);
    driver.read_all();
    driver.topics_found();
    assert_eq!(driver.in_flight(), ["a"], "acknowledged, and not committed");
}

/// The commit has no answer. Whether it was done, the progress topic says.
#[test]
fn what_became_of_a_transaction_is_read_from_the_progress_topic() {
    for is_committed in [true, false] {
        let mut driver = warm();
        let end = driver.insert("a");
        driver.ack_all();
        driver.ack_progress();
        if !is_committed {
            driver.kafka.progress.pop();
        }
        driver.relay.handle_transaction_failed(driver.now(), "no answer");
        driver.settle();
        driver.reopened();
        assert_eq!(driver.relay.window().end_lsn() == end, is_committed);
        driver.read_all();
        driver.topics_found();
        assert_eq!(driver.in_flight().is_empty(), is_committed);
    }
}

#[test]
fn a_cut_ends_what_is_open_and_waits_for_what_is_being_committed() {
    let mut driver = warm();
    driver.insert("a");
    driver.cut();
    driver.take();
    driver.opened();
    assert!(driver.take().is_empty(), "a report is to come");
    driver.lose_all();
    assert_eq!(driver.take(), ["fence"]);

    let mut driver = warm();
    driver.insert("a");
    driver.ack_all();
    driver.ack_progress();
    driver.cut();
    driver.take();
    driver.opened();
    assert!(driver.take().is_empty(), "the commit is not answered");
    driver.committed();
    let taken = driver.take();
    assert_eq!(taken, ["abandon", "fence"], "what it committed may not be readable yet");
}

#[test]
fn a_producer_that_may_have_asked_twice_is_not_used_again() {
    let mut driver = warm();
    let end = driver.insert("a");
    driver.ack_all();
    driver.ack_progress();
    driver.take();
    driver.relay.handle_committed(driver.now(), Some("it took 10 s"));
    driver.settle();
    assert_eq!(driver.relay.confirmed(), end, "it is committed all the same");
    assert!(driver.take().contains(&"abandon".to_owned()));
}

#[test]
fn a_shutdown_commits_whole_transactions_and_gives_up_a_part() {
    let mut driver = warm();
    let end = driver.insert("a");
    driver.shutdown();
    driver.ack_all();
    driver.ack_progress();
    driver.committed();
    driver.stream_ended();
    assert_eq!((driver.relay.confirmed(), driver.finished.clone()), (end, Some(Ok(()))));

    let mut driver = warm();
    driver.commit("a b");
    driver.read();
    driver.read();
    driver.take();
    driver.shutdown();
    assert_eq!(driver.take()[0], "abandon");
    driver.lose_all();
    driver.stream_ended();
    assert_eq!(driver.finished, Some(Ok(())));
    assert!(driver.kafka.progress_in_flight.is_empty());
}

#[test]
fn a_published_row_is_named_until_the_table_knows() {
    let mut driver = driver_with(|settings| settings.parking.policy = Policy::Park);
    let row = row("parked");
    driver.letters.rows.insert(row.sequence, row);
    let mut driver = warmed(driver);
    let id = 0;
    driver.replay(id);
    driver.ack_all();
    driver.ack_progress();
    assert_eq!(driver.recorded().released, [id]);
    assert!(!driver.take().iter().any(|it| it.starts_with("replayed")), "not committed yet");
    driver.committed();
    assert!(driver.take().iter().any(|it| it.starts_with("replayed")));
    driver.commit_one("b");
    assert_eq!(driver.recorded().released, [id], "the table does not say so yet");
    driver.relay.handle_replay_recorded(id);
    driver.commit_one("a");
    assert!(driver.recorded().released.is_empty());
}

impl Driver {
    fn fenced(&mut self) {
        self.relay.handle_fenced(self.now());
        self.settle();
    }

    fn committed(&mut self) {
        self.relay.handle_committed(self.now(), None);
        self.settle();
    }

    /// One transaction from its insert to its commit.
    fn commit_one(&mut self, keys: &str) {
        self.insert(keys);
        self.ack_all();
        self.ack_progress();
        self.committed();
    }

    /// From a pending connection to the stream, behind a producer that was given up.
    fn reopened(&mut self) {
        self.lose_all();
        self.opened();
        self.fenced();
        self.reread();
        self.ack_progress();
        self.committed();
        assert!(self.relay.is_streaming());
        self.take();
    }

    /// The reports of a producer that was given up.
    fn lose_all(&mut self) {
        for sent in std::mem::take(&mut self.kafka.in_flight) {
            self.relay.handle_lost(sent.token, "purged");
        }
        if self.kafka.progress_in_flight.pop_front().is_some() {
            self.relay.handle_progress_lost(self.now(), "purged");
        }
        self.relay.handle_reports_end(self.now());
        self.settle();
    }

    fn postgres_stalls_after_a_record(&mut self) {
        while self.kafka.in_flight.is_empty() && self.read() {
            self.topics_found();
        }
    }

    fn recorded(&self) -> Progress {
        self.kafka.recorded().progress.expect("a progress record")
    }

    fn published(&self) -> u64 {
        self.relay.stats().published.iter().map(|topic| topic.events).sum()
    }
}

fn limits() -> TransactionLimits {
    TransactionLimits { bytes: 1 << 20, time: Duration::from_secs(10) }
}

fn driver() -> Driver {
    driver_with(|_| {})
}

fn driver_with(change: impl FnOnce(&mut Settings)) -> Driver {
    Driver::with(|settings| {
        settings.transactions = Some(limits());
        settings.limits.bytes = 1 << 30;
        change(settings);
    })
}

fn stopped(driver: &Driver) -> Option<Code> {
    let stop = driver.finished.as_ref()?.as_ref().err()?;
    Some(stop.code)
}

/// Past the first records of both partitions.
fn warm() -> Driver {
    warm_with(|_| {})
}

fn warm_with(change: impl FnOnce(&mut Settings)) -> Driver {
    warmed(driver_with(change))
}

fn warmed(mut driver: Driver) -> Driver {
    driver.start();
    driver.opened();
    driver.fenced();
    driver.reread();
    driver.ack_progress();
    driver.committed();
    for key in ["a", "b"] {
        driver.insert(key);
        driver.topics_found();
        driver.read_all();
        driver.ack_all();
        while !driver.kafka.progress_in_flight.is_empty() {
            driver.ack_progress();
        }
        driver.committed();
    }
    assert_eq!(driver.published(), 2);
    driver.take();
    driver
}

/// Parked long ago.
fn row(key: &str) -> Parcel {
    Parcel {
        token: Token(0),
        sequence: Sequence { epoch: 1, at: Identity { commit_lsn: Lsn::new(0x100), ordinal: 0 } },
        event_id: Some("e-1".to_owned()),
        topic: Some(TOPIC.to_owned()),
        key: Some(key.as_bytes().to_vec()),
        partition_key: None,
        value: Some(b"parked".to_vec()),
        headers: Vec::new(),
        timestamp_ms: Some(1),
        is_complete: true,
        reason: Reason::Behind,
    }
}
