//! Frames in, records out; positions recorded and then confirmed.

use std::time::Duration;

use super::TOPIC;
use super::driver::Driver;
use super::postgres::{Change, EVENTS, START};
use crate::encode;
use crate::lsn::Lsn;
use crate::pgoutput::{Cell, LogicalMessage, Message};
use crate::relay::Goal;
use crate::time::PgTimestamp;
use crate::wire::Frame;

#[test]
fn an_event_is_confirmed_after_its_ack_and_the_ack_of_its_position() {
    let mut driver = Driver::warm();
    let end = driver.insert("a");
    assert_eq!(driver.take(), ["produce a"]);
    driver.step(1000);
    assert!(driver.take().is_empty());
    driver.ack("a");
    assert_eq!(driver.take(), [format!("record 1: {end}+0")]);
    driver.step(1000);
    assert!(driver.take().is_empty(), "not confirmed before the record is written");
    driver.ack_progress();
    assert_eq!(driver.take(), [format!("status {end}")]);
    assert_eq!(driver.postgres.slot, Some(end));
}

#[test]
fn a_position_stops_at_the_first_record_in_flight() {
    let mut driver = Driver::warm();
    let first = driver.insert("a");
    let second = driver.insert("b");
    driver.insert("a");
    driver.ack("b");
    driver.record();
    assert_eq!(driver.take_deeds(), ["produce a", "produce b", "produce a"]);
    driver.ack("a");
    driver.record();
    let deeds = driver.take_deeds();
    assert_eq!(deeds.last(), Some(&format!("record 1: {second}+0")), "past {first}");
}

#[test]
fn positions_are_recorded_at_the_interval_and_one_at_a_time() {
    let mut driver = Driver::warm();
    driver.step(100);
    driver.take();
    let first = driver.insert("a");
    driver.ack("a");
    assert_eq!(driver.take(), ["produce a".to_owned(), format!("record 1: {first}+0")]);
    driver.insert("b");
    driver.ack("b");
    driver.step(500);
    assert_eq!(driver.take(), ["produce b"], "the first is still in flight");
    driver.ack_progress();
    driver.take();
    driver.ack_progress();
    let third = driver.insert("a");
    driver.ack("a");
    driver.step(99);
    assert_eq!(driver.take_deeds(), ["produce a"]);
    driver.step(1);
    assert_eq!(driver.take_deeds(), [format!("record 1: {third}+0")]);
}

#[test]
fn an_idle_position_is_recorded_every_ten_seconds() {
    let mut driver = Driver::warm();
    driver.step(10_000);
    driver.take();
    driver.postgres.write_idle_wal(0x100);
    driver.keepalive(false);
    let first = driver.postgres.flush_lsn;
    assert_eq!(driver.take_deeds(), [format!("record 1: {first}+0")]);
    driver.ack_progress();
    driver.take();
    driver.postgres.write_idle_wal(0x100);
    driver.keepalive(false);
    driver.step(9_999);
    assert!(driver.take_deeds().is_empty());
    driver.step(1);
    assert_eq!(driver.take_deeds().len(), 1);
}

#[test]
fn an_idle_position_is_recorded_within_a_second_when_the_server_asks() {
    let mut driver = Driver::warm();
    driver.step(10_000);
    driver.postgres.write_idle_wal(0x100);
    driver.keepalive(false);
    driver.ack_progress();
    driver.postgres.write_idle_wal(0x100);
    driver.take();
    driver.keepalive(true);
    driver.step(1000);
    let position = driver.postgres.flush_lsn;
    assert_eq!(driver.take_deeds(), [format!("record 1: {position}+0")]);
    driver.ack_progress();
    assert_eq!(driver.postgres.slot, Some(position));
}

#[test]
fn a_keepalive_moves_nothing_while_something_is_in_flight() {
    let mut driver = Driver::warm();
    let before = driver.relay.window().end_lsn();
    driver.insert("a");
    driver.postgres.write_idle_wal(0x100);
    driver.keepalive(true);
    driver.step(20_000);
    assert_eq!(driver.relay.window().end_lsn(), before);
}

#[test]
fn a_keepalive_that_asks_is_answered_at_once() {
    let mut driver = Driver::warm();
    let confirmed = driver.relay.confirmed();
    driver.keepalive(true);
    assert_eq!(driver.take(), [format!("status {confirmed}")]);
    driver.keepalive(false);
    assert!(driver.take().is_empty());
}

#[test]
fn rows_of_others_and_messages_count_as_changes_and_are_not_published() {
    let mut driver = Driver::warm();
    let event = driver.event("order", "a");
    let end = driver.postgres.commit(vec![Change::Message, Change::OtherRow, event]);
    driver.read_all();
    driver.take();
    driver.ack("a");
    driver.record();
    assert_eq!(driver.take_deeds(), [format!("record 1: {end}+0")]);
    assert_eq!(driver.relay.stats().ignored_rows, 1);
}

#[test]
fn a_cut_with_records_in_flight_repeats_nothing() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.insert("a");
    driver.cut();
    driver.ack("b");
    driver.reopen();
    driver.read_all();
    driver.take();
    let end = driver.insert("b");
    assert_eq!(driver.take_deeds(), ["produce b"], "the new one only");
    driver.ack_all();
    driver.record();
    assert_eq!(driver.written().len(), 6);
    assert_eq!(driver.postgres.slot, Some(end));
}

#[test]
fn a_cut_in_the_middle_of_a_transaction_repeats_nothing() {
    for read in 0..6 {
        let mut driver = Driver::warm();
        driver.commit("a b a b");
        for _ in 0..read {
            driver.read();
        }
        driver.cut();
        driver.reopen();
        driver.read_all();
        driver.ack_all();
        driver.record();
        assert_eq!(driver.written(), ["a", "b", "a", "b", "a", "b"], "cut after {read} frames");
        assert_eq!(driver.unrecorded(), 0);
    }
}

#[test]
fn a_new_process_goes_on_in_the_middle_of_a_transaction() {
    let mut driver = Driver::warm();
    driver.commit("a b a b");
    for _ in 0..3 {
        driver.read();
    }
    driver.ack_all_in_flight();
    driver.record();
    driver.restart_process();
    driver.reopen();
    driver.read_all();
    driver.topics_found();
    driver.ack_all();
    assert_eq!(driver.written(), ["a", "b", "a", "b", "a", "b"]);
}

#[test]
fn a_full_window_pauses_reading_until_an_ack() {
    let mut driver = Driver::warm_with(|settings| settings.limits.events = 3);
    driver.commit("a b a b a");
    driver.read_all();
    assert_eq!(driver.in_flight(), ["a", "b", "a"]);
    assert!(!driver.relay.wants_input());
    driver.ack_index(0);
    driver.read_all();
    assert_eq!(driver.in_flight(), ["b", "a", "b"]);
}

#[test]
fn too_many_unrecorded_events_pause_reading_until_a_record() {
    let mut driver = Driver::warm_with(|settings| settings.unrecorded_events_max = 3);
    driver.commit("a b a b a");
    driver.read_all();
    assert_eq!(driver.in_flight().len(), 3);
    driver.ack_all_in_flight();
    assert!(!driver.relay.wants_input(), "acked, not recorded");
    driver.record();
    driver.read_all();
    assert_eq!(driver.in_flight(), ["b", "a"]);
}

/// The loop of the cap and of what was lost: lost records count as unrecorded until they are
/// handed out again.
#[test]
fn lost_records_are_read_again_though_the_cap_is_reached() {
    let mut driver = Driver::warm_with(|settings| settings.unrecorded_events_max = 3);
    driver.commit("a b a b a");
    driver.read_all();
    driver.kill_producer();
    driver.stream_ended();
    driver.read_all();
    driver.ack_all();
    driver.record();
    driver.read_all();
    driver.ack_all();
    assert_eq!(driver.written(), ["a", "b", "a", "b", "a", "b", "a"]);
}

#[test]
fn a_protocol_violation_starts_over() {
    let mut driver = Driver::warm();
    driver.frame(b"x");
    let deeds = driver.take_deeds();
    assert!(deeds[0].starts_with("close: protocol violation"), "{deeds:?}");
    assert_eq!(deeds[1..], ["open"]);
    driver.reopen();
    driver.insert("c");
    assert_eq!(driver.in_flight(), ["c"]);
}

#[test]
fn a_row_too_large_to_be_read_stops_after_what_precedes_it() {
    let mut driver = Driver::warm();
    driver.commit("a b");
    for _ in 0..3 {
        driver.read();
    }
    let id = Cell::Text(b"id-9");
    let body = encode::insert(EVENTS, &[id, Cell::Text(b"order"), Cell::Text(b"b")]);
    driver.skimmed(&body, 70_000_000);
    assert!(driver.finished.is_none(), "a and b are in flight");
    driver.ack_all_in_flight();
    driver.ack_progress();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("record_too_large"));
    let stop = driver.finished.clone().unwrap().unwrap_err();
    let detail = stop.detail.unwrap();
    assert!(detail.contains("id-9") && detail.contains("70000000"), "{detail}");
    assert_eq!(driver.kafka.recorded().progress.unwrap().partial.unwrap().changes, 2);
}

/// A message outside a transaction, however large, is no change of any.
#[test]
fn a_large_message_between_transactions_is_passed_over() {
    for transactional in [false, true] {
        let mut driver = Driver::warm();
        let lsn = START;
        let message = LogicalMessage { transactional, lsn, prefix: "big", content: b"start" };
        if transactional {
            driver.commit("a");
            driver.read();
        }
        driver.skimmed(&encode::message(&Message::Message(message)), 70_000_000);
        assert!(driver.relay.is_streaming(), "{:?}", driver.take());
    }
}

#[test]
fn once_ends_at_the_position_of_the_start_with_nothing_left() {
    let mut driver = Driver::with(|settings| settings.goal = Goal::Once);
    driver.commit("a b");
    driver.postgres.write_idle_wal(0x1000);
    driver.open();
    driver.read_all();
    driver.topics_found();
    driver.read_all();
    driver.ack_all();
    assert!(driver.finished.is_none(), "the target lies in idle WAL past the last commit");
    driver.keepalive(false);
    let target = driver.postgres.flush_lsn;
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.finished, Some(Ok(())));
    assert_eq!(driver.postgres.slot, Some(target));
}

#[test]
fn once_waits_for_what_is_in_flight() {
    let mut driver = Driver::with(|settings| settings.goal = Goal::Once);
    driver.commit("a b");
    driver.open();
    driver.read_all();
    driver.topics_found();
    driver.read_all();
    driver.keepalive(false);
    driver.step(5000);
    assert!(driver.finished.is_none() && driver.relay.is_streaming());
    driver.ack_all();
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.finished, Some(Ok(())));
    assert_eq!(driver.unrecorded(), 0);
}

/// Rows that are of no concern bring no report: the timers must not wait for one.
#[test]
fn frames_without_reports_do_not_keep_the_status_back() {
    let mut driver = Driver::warm();
    driver.postgres.commit(vec![Change::OtherRow; 1000]);
    driver.take();
    for _ in 0..600 {
        driver.freeze(10);
        assert!(driver.read());
    }
    assert!(!driver.take().is_empty(), "six seconds without a status");
}

#[test]
fn the_topic_is_looked_up_once_and_recorded() {
    let mut driver = Driver::streaming();
    driver.insert("a");
    assert_eq!(driver.take(), [format!("ask {TOPIC}")]);
    driver.topics_found();
    assert_eq!(driver.take(), [format!("record topic/{TOPIC}"), "produce a".to_owned()]);
    driver.ack("a");
    driver.record();
    driver.take();
    driver.insert("b");
    assert_eq!(driver.take_deeds(), ["produce b"]);
}

impl Driver {
    pub(super) fn ack_all_in_flight(&mut self) {
        while !self.kafka.in_flight.is_empty() {
            self.ack_index(0);
        }
    }

    pub(super) fn skimmed(&mut self, body: &[u8], length: usize) {
        let (start, end, sent) = (Lsn::ZERO, Lsn::ZERO, PgTimestamp::from_micros(0));
        let head = encode::frame(&Frame::XLogData { start, end, sent, body });
        self.relay.handle_skimmed(self.now(), &head, length);
        self.settle();
    }
}

#[test]
fn confirmed_never_passes_what_is_recorded() {
    let mut driver = Driver::warm_with(|it| it.progress_interval = Duration::from_millis(300));
    for round in 0..20 {
        driver.insert("a b");
        driver.ack_all_in_flight();
        driver.step(70 + round);
        let recorded = driver.kafka.recorded().progress.unwrap().end_lsn;
        assert!(driver.relay.confirmed() <= recorded);
        assert!(driver.postgres.slot.unwrap() <= recorded);
        if round % 3 == 0 && !driver.kafka.progress_in_flight.is_empty() {
            driver.ack_progress();
        }
    }
}
