//! What happens by the clock alone.

use std::time::Duration;

use super::driver::Driver;
use crate::topic::TopicError;

#[test]
fn positions_are_reported_every_third_of_the_timeout_though_kafka_is_silent() {
    for timeout in [1, 2, 15] {
        let mut driver = Driver::warm_with(|settings| {
            settings.wal_sender_timeout = Duration::from_secs(timeout);
            settings.release_after = Duration::from_secs(1000);
        });
        driver.insert("a");
        driver.take();
        let third = timeout * 1000 / 3;
        for _ in 0..50 {
            driver.step(third + 1);
            let happened = driver.take();
            assert!(happened.iter().any(|it| it.starts_with("status")), "{happened:?}");
            assert!(happened.iter().all(|it| it.starts_with("status")), "{happened:?}");
        }
    }
}

#[test]
fn the_server_is_let_go_when_kafka_is_silent_and_taken_back_at_its_first_word() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.step(14_000);
    driver.ack("b");
    driver.take();
    driver.step(14_999);
    assert!(driver.take_deeds().is_empty(), "the last report is not long ago");
    driver.step(1001);
    assert_eq!(driver.take_deeds(), ["end"]);
    driver.stream_ended();
    assert!(driver.relay.is_released() && driver.relay.is_active());
    driver.step(100_000);
    assert!(driver.take().is_empty());
    driver.ack("a");
    assert!(driver.take_deeds().contains(&"start".to_owned()));
    driver.read_all();
    driver.record();
    assert!(driver.take_deeds().iter().all(|it| !it.starts_with("produce")));
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn the_server_is_let_go_while_a_progress_record_is_not_answered() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.ack("a");
    driver.step(16_100);
    assert!(driver.take_deeds().contains(&"end".to_owned()));
    driver.stream_ended();
    driver.ack_progress();
    assert!(driver.relay.is_streaming());
}

#[test]
fn the_server_is_let_go_while_a_topic_cannot_be_used() {
    for answer in [None, Some(TopicError::Unauthorized)] {
        let mut driver = Driver::streaming();
        driver.insert("a");
        let mut seconds = 0;
        while !driver.awaits.stream_end {
            seconds += 1;
            assert!(seconds < 18, "{answer:?}");
            if let Some(error) = answer.as_ref().filter(|_| !driver.asked.is_empty()) {
                driver.topic_fails(error);
            }
            driver.step(1000);
        }
        driver.stream_ended();
        driver.step(16_000);
        driver.read_all();
        assert!(driver.relay.is_holding(), "looked at again: {answer:?}");
        driver.topics_found();
        assert_eq!(driver.in_flight(), ["a"]);
    }
}

#[test]
fn an_unanswered_end_of_the_stream_closes_the_session() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.step(16_000);
    assert!(driver.awaits.stream_end);
    driver.take();
    driver.step(2000);
    let expected = ["close: the server did not answer the end of the stream", "open"];
    assert_eq!(driver.take(), expected);
}

/// A server that has much to send sees CopyDone late.
#[test]
fn frames_do_not_hide_an_unanswered_end_of_the_stream() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.step(16_000);
    assert!(driver.awaits.stream_end);
    driver.take();
    driver.commit(&"x ".repeat(300));
    for _ in 0..250 {
        driver.freeze(10);
        driver.read();
    }
    assert_eq!(driver.take_deeds().last().map(String::as_str), Some("open"));
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let mut driver = Driver::warm();
    driver.step(100_000);
    let idle = driver.take_deeds();
    assert!(idle.is_empty(), "a server that answers is not given up: {idle:?}");
    driver.server_is_silent = true;
    driver.step(20_000);
    assert!(driver.take_deeds().is_empty(), "it is given time");
    driver.step(15_000);
    let deeds = driver.take_deeds();
    assert!(deeds[0].starts_with("close: the server was silent for 3"), "{deeds:?}");
    assert_eq!(deeds[1..], ["open"]);
    driver.reopen();
    driver.insert("a");
    assert_eq!(driver.in_flight(), ["a"]);
}

/// Of a row that takes long the bytes are heard before the frame is there.
#[test]
fn bytes_are_a_word_of_the_server() {
    let mut driver = Driver::warm();
    driver.server_is_silent = true;
    for _ in 0..10 {
        driver.step(10_000);
        driver.relay.handle_received(driver.now());
    }
    assert!(driver.take_deeds().is_empty());
}

/// What is not read is not heard either.
#[test]
fn a_server_that_is_not_listened_to_is_not_silent() {
    let mut driver =
        Driver::warm_with(|settings| settings.release_after = Duration::from_secs(1000));
    driver.server_is_silent = true;
    let held = driver.event("invoice", "i");
    driver.postgres.commit(vec![held]);
    driver.read_all();
    assert!(driver.relay.is_holding() && !driver.relay.wants_input());
    driver.step(100_000);
    assert!(driver.take_deeds().iter().all(|it| !it.starts_with("close")));
    driver.topics_found();
    driver.step(20_000);
    assert!(driver.take_deeds().iter().all(|it| !it.starts_with("close")), "from now on");
    driver.step(15_000);
    assert!(driver.take_deeds().iter().any(|it| it.starts_with("close: the server was silent")));
}

#[test]
fn a_thaw_closes_the_session_before_anything_is_handled() {
    type Input = fn(&mut Driver);
    let inputs: [(&str, Input); 8] = [
        ("a frame", |it| assert!(it.read())),
        ("a keepalive", |it| it.keepalive(true)),
        ("time", Driver::timeout),
        ("an ack", |it| it.ack("a")),
        ("the progress ack", Driver::ack_progress),
        ("a topic", Driver::topics_found),
        ("a retry", Driver::settle),
        ("the shutdown", Driver::shutdown),
    ];
    for (name, input) in inputs {
        let mut driver = Driver::warm();
        driver.insert("a b");
        driver.ack("b");
        let (event, third) = (driver.event("invoice", "i"), driver.event("order", "c"));
        if name == "a topic" || name == "a retry" {
            driver.postgres.commit(vec![event, third]);
            driver.read_all();
        } else {
            driver.postgres.commit(vec![third]);
        }
        if name == "the progress ack" {
            let commit = driver.commit("b");
            assert!(commit > driver.relay.confirmed());
            driver.ack("a");
            driver.step(100);
        }
        driver.take();
        driver.freeze(7500);
        input(&mut driver);
        let deeds = driver.take();
        let first = deeds.first().map(String::as_str);
        assert_eq!(first, Some("close: the process stood still for 7500 ms"), "{name}");
        let produced = deeds.iter().any(|it| it.starts_with("produce") || it.starts_with("status"));
        assert!(!produced, "{name}: {deeds:?}");
    }
}

#[test]
fn a_short_gap_is_no_thaw() {
    let mut driver = Driver::warm();
    driver.freeze(7499);
    driver.insert("a");
    assert_eq!(driver.in_flight(), ["a"]);
}

/// A timer that is due and cannot be served would keep the process busy: `step` looks for that.
#[test]
fn nothing_is_due_that_cannot_be_done() {
    let mut draining = Driver::warm();
    draining.insert("a b");
    draining.shutdown();
    draining.ack("a");
    draining.step(5000);

    let mut opening = Driver::warm();
    opening.insert("a b");
    opening.cut();
    opening.opened();
    opening.ack("a");
    opening.ack_progress();
    opening.step(5000);

    let mut failing = Driver::warm();
    failing.insert("a");
    let held = failing.event("invoice", "i");
    failing.postgres.commit(vec![held]);
    failing.read_all();
    failing.topic_fails(&TopicError::Unauthorized);
    failing.relay.handle_producer_failed(failing.now(), "fatal");
    failing.settle();
    failing.step(5000);
    assert!(
        draining.finished.is_none() && opening.finished.is_none() && failing.finished.is_none()
    );
}
