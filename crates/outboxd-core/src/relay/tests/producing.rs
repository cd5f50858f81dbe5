//! What Kafka may say: topics, lanes, refusals, the death of a producer.

use std::time::Duration;

use super::TOPIC;
use super::driver::{Driver, info};
use crate::murmur2;
use crate::topic::{TopicError, TopicInfo};

#[test]
fn a_lane_carries_one_record_until_its_first_ack() {
    let mut driver = Driver::streaming();
    driver.kafka.partitions.insert(TOPIC.to_owned(), 1);
    driver.insert("a b c");
    driver.topics_found();
    driver.read_all();
    assert_eq!(driver.in_flight(), ["a"]);
    assert!(!driver.relay.wants_input());
    driver.ack("a");
    driver.read_all();
    assert_eq!(driver.in_flight(), ["b", "c"], "the partition knows the producer");
}

#[test]
fn lanes_are_proven_one_by_one() {
    let [first, second] = keys_of_two_partitions();
    let mut driver = Driver::streaming();
    driver.insert(&format!("{first} {second} {first}"));
    driver.topics_found();
    driver.read_all();
    assert_eq!(driver.in_flight(), [first, second]);
    driver.ack(second);
    assert_eq!(driver.in_flight(), [first], "the held one goes to the other lane");
    driver.ack(first);
    assert_eq!(driver.in_flight(), [first]);
}

#[test]
fn a_lane_that_was_quiet_for_half_a_day_is_proven_again() {
    for (quiet, in_flight) in [(Duration::from_secs(12 * 3600), 1), (Duration::from_secs(3600), 2)]
    {
        let mut driver = Driver::warm_with(|settings| {
            settings.wal_sender_timeout = Duration::from_secs(1 << 20);
        });
        driver.freeze(u64::try_from(quiet.as_millis()).unwrap());
        driver.timeout();
        driver.insert("a a");
        assert_eq!(driver.in_flight().len(), in_flight, "quiet for {quiet:?}");
    }
}

#[test]
fn a_new_producer_proves_its_lanes_again() {
    let mut driver = Driver::warm();
    driver.kill_producer();
    assert_eq!(driver.take(), ["replace producer"], "nothing was lost: the stream goes on");
    driver.insert("a a");
    assert_eq!(driver.in_flight(), ["a"]);
    driver.ack("a");
    assert_eq!(driver.in_flight(), ["a"]);
}

#[test]
fn nothing_is_handed_to_a_producer_that_is_about_to_be_replaced() {
    let mut driver = Driver::warm();
    driver.relay.handle_producer_failed(driver.now(), "fatal");
    driver.relay.handle_reports_end(driver.now());
    assert!(!driver.relay.wants_input(), "the order to replace it is not carried out");
    driver.settle();
    assert_eq!(driver.take(), ["replace producer"]);
    assert!(driver.relay.wants_input());
}

#[test]
fn what_a_dead_producer_lost_is_sent_again_in_order_under_the_same_tokens() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.insert("a b");
    let sent = driver.kafka.in_flight.clone();
    driver.ack_index(1);
    driver.take();
    driver.relay.handle_producer_failed(driver.now(), "fatal");
    driver.settle();
    assert!(driver.take().is_empty() && !driver.relay.wants_input(), "three reports are to come");
    driver.kill_producer();
    assert_eq!(driver.take(), ["replace producer", "end"]);
    driver.stream_ended();
    driver.read_all();
    assert_eq!(driver.in_flight().len(), 1, "one by one until the first ack");
    let mut again = Vec::new();
    while !driver.kafka.in_flight.is_empty() {
        again.push(driver.kafka.in_flight[0].clone());
        driver.ack_index(0);
        driver.read_all();
    }
    again.sort_by_key(|sent| sent.token);
    assert_eq!(again, [sent[0].clone(), sent[2].clone(), sent[3].clone()]);
    driver.record();
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn a_lost_progress_record_is_written_again_by_the_new_producer() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.ack("a");
    driver.step(100);
    driver.take();
    driver.kill_producer();
    let deeds = driver.take();
    assert_eq!(deeds[0], "replace producer");
    assert!(deeds[1].starts_with("record 1: "), "{deeds:?}");
    driver.ack_progress();
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn a_refusal_stops_after_what_else_is_in_flight() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.commit("c");
    driver.refuse("b");
    driver.read_all();
    assert_eq!(driver.in_flight(), ["a"], "nothing more is handed out");
    assert!(driver.finished.is_none());
    driver.ack("a");
    driver.read_lost();
    driver.refuse_for_good("b");
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("record_too_large"));
    let stop = driver.finished.clone().unwrap().unwrap_err();
    let detail = stop.detail.unwrap();
    assert!(detail.contains("b#") && detail.contains(TOPIC), "{detail}");
    assert_eq!(driver.kafka.recorded().progress.unwrap().partial.unwrap().changes, 1);
}

#[test]
fn a_record_too_large_for_its_topic_stops_after_what_precedes_it() {
    let mut driver = Driver::streaming();
    let limited = TopicInfo { max_message_bytes: Some(700), ..info(1) };
    driver.insert("small");
    driver.topic_answer(TOPIC, Ok(limited));
    driver.ack("small");
    driver.record();
    let large = "L".repeat(600);
    driver.insert(&format!("a {large} b"));
    assert_eq!(driver.in_flight(), ["a"]);
    driver.step(1000);
    assert!(driver.finished.is_none(), "a is in flight");
    driver.ack("a");
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("record_too_large"));
    let detail = driver.finished.clone().unwrap().unwrap_err().detail.unwrap();
    assert!(detail.contains(&large) && detail.contains("max.message.bytes"), "{detail}");
    assert_eq!(driver.kafka.recorded().progress.unwrap().partial.unwrap().changes, 1);
    assert_eq!(driver.written(), ["small", "a"]);
}

#[test]
fn an_unknown_topic_is_asked_about_for_thirty_seconds() {
    let mut driver = Driver::streaming_with(|it| it.release_after = Duration::from_secs(60));
    driver.insert("a");
    let mut asked = 0;
    for _ in 0..30 {
        assert!(driver.finished.is_none(), "after {asked} answers");
        driver.topic_fails(&TopicError::Unknown);
        asked += 1;
        driver.step(1000);
    }
    assert!(driver.finished.is_none() && asked == 30);
    driver.topic_fails(&TopicError::Unknown);
    driver.step(100);
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("unknown_topic"));
}

/// Brokers that come back do not know every topic at once.
#[test]
fn an_outage_does_not_count_as_thirty_seconds_of_unknown() {
    let mut driver = Driver::streaming_with(|it| it.release_after = Duration::from_secs(600));
    driver.insert("a");
    for _ in 0..60 {
        driver.topic_fails(&TopicError::Transport("away".to_owned()));
        driver.step(1000);
    }
    driver.topic_fails(&TopicError::Unknown);
    driver.step(1000);
    assert!(driver.finished.is_none(), "one answer is not thirty seconds of them");
    driver.topics_found();
    assert_eq!(driver.in_flight(), ["a"]);
}

#[test]
fn transport_and_rights_are_waited_for_without_end() {
    for error in [TopicError::Transport("away".to_owned()), TopicError::Unauthorized] {
        let mut driver = Driver::streaming_with(|it| it.release_after = Duration::from_secs(9999));
        driver.insert("a");
        for _ in 0..1000 {
            driver.topic_fails(&error);
            driver.step(1000);
        }
        driver.topics_found();
        assert_eq!(driver.in_flight(), ["a"]);
    }
}

#[test]
fn another_partition_count_than_the_recorded_one_stops() {
    let mut driver = Driver::warm();
    driver.restart_process();
    driver.reopen();
    driver.insert("c");
    driver.kafka.partitions.insert(TOPIC.to_owned(), 3);
    driver.topics_found();
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("partitions_changed"));
    assert!(driver.in_flight().is_empty());
}

fn keys_of_two_partitions() -> [&'static str; 2] {
    let first = "a";
    let partition = |key: &str| murmur2::partition(Some(key.as_bytes()), b"", 2);
    let mut others = ["b", "c", "d", "e", "f", "g"].into_iter();
    let second = others.find(|key| partition(key) != partition(first));
    [first, second.expect("a key of the other partition")]
}
