//! The end: what is in flight is waited for, recorded, reported, and nothing is made up.

use super::driver::Driver;
use crate::topic::TopicError;

#[test]
fn waits_for_acks_records_reports_and_ends_the_stream() {
    let mut driver = Driver::warm();
    let end = driver.insert("a b");
    driver.take();
    driver.shutdown();
    driver.commit("c");
    driver.read_all();
    driver.step(1000);
    assert!(driver.take_deeds().is_empty() && !driver.relay.wants_input());
    driver.ack("b");
    driver.ack("a");
    assert_eq!(driver.take_deeds(), [format!("record 1: {end}+0")]);
    driver.ack_progress();
    let status = format!("status {end}");
    assert_eq!(driver.take(), [status.clone(), status, "end".to_owned()]);
    driver.stream_ended();
    assert_eq!(driver.take(), ["finished"]);
}

#[test]
fn in_the_middle_of_a_transaction_the_durable_changes_are_recorded() {
    let mut driver = Driver::warm();
    driver.commit("a b a b");
    for _ in 0..4 {
        driver.read();
    }
    driver.shutdown();
    while !driver.kafka.in_flight.is_empty() {
        driver.ack_index(0);
    }
    driver.ack_progress();
    driver.stream_ended();
    assert_eq!(driver.finished, Some(Ok(())));
    assert_eq!(driver.kafka.recorded().progress.unwrap().partial.unwrap().changes, 3);
    driver.restart_process();
    driver.reopen();
    driver.read_all();
    driver.topics_found();
    driver.ack_all();
    assert_eq!(driver.written(), ["a", "b", "a", "b", "a", "b"]);
}

#[test]
fn a_held_record_is_never_counted_as_durable() {
    let mut driver = Driver::warm();
    let events = vec![driver.event("order", "a"), driver.event("invoice", "held")];
    driver.postgres.commit(events);
    driver.read_all();
    driver.ack("a");
    assert!(driver.relay.is_holding());
    driver.shutdown();
    driver.topics_found();
    driver.record();
    while !driver.kafka.progress_in_flight.is_empty() {
        driver.ack_progress();
    }
    driver.stream_ended();
    assert_eq!(driver.finished, Some(Ok(())));
    assert_eq!(driver.kafka.recorded().progress.unwrap().partial.unwrap().changes, 1);
    assert_eq!(driver.written(), ["a", "b", "a"]);
}

#[test]
fn ends_at_the_deadline_with_what_is_recorded() {
    let mut driver = Driver::warm();
    driver.insert("a");
    let confirmed = driver.relay.confirmed();
    driver.shutdown();
    driver.step(19_999);
    assert!(driver.finished.is_none());
    driver.step(1);
    assert_eq!(driver.finished, Some(Ok(())));
    assert_eq!(driver.postgres.slot, Some(confirmed));
}

#[test]
fn the_first_reason_to_stop_is_the_one_that_counts() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.refuse_for_good("a");
    driver.shutdown();
    driver.record();
    driver.stream_ended();
    let stop = driver.finished.clone().unwrap().unwrap_err();
    assert!(stop.message.contains("a#"), "{}", stop.message);

    let mut driver = Driver::warm();
    driver.insert("a");
    driver.shutdown();
    driver.refuse("a");
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.finished, Some(Ok(())));
}

#[test]
fn an_end_of_the_stream_that_is_not_answered_is_not_waited_for() {
    let mut driver = Driver::warm();
    driver.shutdown();
    assert!(driver.awaits.stream_end);
    driver.step(1999);
    assert!(driver.finished.is_none());
    driver.step(1);
    assert_eq!(driver.finished, Some(Ok(())));
}

#[test]
fn a_cut_while_draining_still_records() {
    let mut driver = Driver::warm();
    let end = driver.insert("a");
    driver.shutdown();
    driver.cut();
    assert!(!driver.awaits.session, "no session is opened to end");
    driver.ack("a");
    driver.ack_progress();
    assert_eq!(driver.finished, Some(Ok(())));
    assert_eq!(driver.kafka.recorded().progress.unwrap().end_lsn, end);
}

/// A position under the former acquisition would not count behind the claim.
#[test]
fn a_shutdown_in_the_middle_of_a_claim_repeats_nothing() {
    for claim_written in [false, true] {
        let mut driver = Driver::warm();
        driver.insert("a b");
        driver.cut();
        driver.opened();
        if claim_written {
            driver.ack_progress();
        }
        driver.shutdown();
        driver.ack("a");
        driver.ack("b");
        if !claim_written {
            driver.ack_progress();
        }
        driver.reread();
        while !driver.kafka.progress_in_flight.is_empty() {
            driver.ack_progress();
        }
        driver.stream_ended();
        assert_eq!(driver.finished, Some(Ok(())));
        driver.restart_process();
        driver.reopen();
        driver.read_all();
        assert!(driver.in_flight().is_empty() && !driver.relay.is_holding());
    }
}

#[test]
fn a_shutdown_before_the_first_session_ends_at_once() {
    let mut driver = Driver::new();
    driver.start();
    driver.shutdown();
    assert_eq!(driver.finished, Some(Ok(())));
}

#[test]
fn a_wait_for_a_topic_does_not_hold_up_the_end() {
    let mut driver = Driver::streaming();
    driver.insert("a");
    driver.topic_fails(&TopicError::Unauthorized);
    driver.shutdown();
    driver.stream_ended();
    assert_eq!(driver.finished, Some(Ok(())));
}
