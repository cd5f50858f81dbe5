//! Events that must not be sent.

use std::time::Duration;

use super::driver::{Driver, info};
use crate::parking::Policy;
use crate::relay::Settings;
use crate::topic::{TopicError, TopicInfo};

fn parking(settings: &mut Settings) {
    settings.parking.policy = Policy::Park;
}

/// Warm, with a topic that takes records of so many bytes.
fn with_limit(change: impl FnOnce(&mut Settings)) -> Driver {
    let mut driver = Driver::streaming_with(change);
    for key in ["a", "b"] {
        driver.insert(key);
        if let Some(topic) = driver.asked.pop_front() {
            let small = TopicInfo { max_message_bytes: Some(LIMIT), ..info(2) };
            driver.topic_answer(&topic, Ok(small));
        }
        driver.ack_all();
    }
    driver.record();
    driver.take();
    driver
}

fn large(driver: &mut Driver, key: &str) {
    let event = driver.large_event(key, LIMIT);
    driver.postgres.commit(vec![event]);
    driver.read_all();
}

/// One event is parked.
fn with_a_row() -> Driver {
    let mut driver = with_limit(parking);
    large(&mut driver, "a");
    driver.commit_parcels();
    driver
}

/// It is on its way to Kafka again.
fn replaying() -> Driver {
    let mut driver = with_a_row();
    driver.larger_limit();
    driver.replay(0);
    driver
}

const LIMIT: usize = 1000;

#[test]
fn what_follows_of_a_key_is_parked_behind_and_other_keys_flow() {
    let mut driver = with_limit(parking);
    large(&mut driver, "a");
    driver.insert("a b a");
    assert_eq!(driver.in_flight(), ["b"]);
    driver.ack_all();
    driver.commit_parcels();
    assert_eq!(driver.letters.rows.len(), 3);
    let end = driver.insert("b");
    driver.ack_all();
    driver.record();
    assert_eq!(driver.relay.confirmed(), end);
    assert_eq!(driver.written(), ["a", "b", "b", "b"]);
}

#[test]
fn the_position_passes_no_parcel_before_its_row_is_committed() {
    let mut driver = with_limit(parking);
    let before = driver.relay.confirmed();
    large(&mut driver, "a");
    driver.insert("b");
    driver.ack_all();
    driver.record();
    assert_eq!(driver.relay.confirmed(), before);
    driver.commit_parcels();
    driver.record();
    assert!(driver.relay.confirmed() > before);
}

#[test]
fn a_key_stays_parked_over_a_restart_and_a_row_is_not_published() {
    let mut driver = with_limit(parking);
    large(&mut driver, "a");
    driver.insert("a");
    driver.commit_parcel();
    // The second row is on its way when the process is killed.
    driver.restart_process();
    driver.reopen();
    driver.read_all();
    assert_eq!(driver.in_flight(), [""; 0]);
    driver.insert("a");
    driver.commit_parcels();
    assert_eq!(driver.letters.rows.len(), 3);
    assert_eq!(driver.written(), ["a", "b"]);
}

#[test]
fn a_parcel_whose_session_was_cut_is_parked_again() {
    let mut driver = with_limit(parking);
    large(&mut driver, "a");
    driver.insert("b");
    driver.cut();
    driver.reopen();
    driver.read_all();
    driver.commit_parcels();
    driver.ack_all();
    driver.record();
    assert_eq!(driver.letters.rows.len(), 1);
    assert_eq!(driver.written(), ["a", "b", "b"]);
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn a_committed_parcel_whose_answer_was_lost_is_not_parked_twice() {
    let mut driver = with_limit(parking);
    large(&mut driver, "a");
    let parcel = driver.letters.in_flight[0].clone();
    driver.letters.rows.insert(parcel.sequence, parcel);
    driver.cut();
    driver.reopen();
    driver.read_all();
    assert!(driver.letters.in_flight.is_empty());
    driver.record();
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn a_refused_batch_is_tried_one_by_one_and_one_event_parked() {
    let mut driver = Driver::warm_with(parking);
    driver.insert("a a2 b a");
    assert_eq!(driver.in_flight().len(), 4);
    // All of the batch are candidates.
    driver.refuse("a");
    driver.refuse("a2");
    driver.refuse("a");
    driver.refuse("b");
    driver.read_lost();
    assert_eq!(driver.in_flight(), ["a"], "alone");
    driver.refuse("a");
    driver.read_lost();
    assert_eq!(driver.letters.in_flight.len(), 1);
    driver.commit_parcel();
    driver.topics_found();
    driver.ack_all();
    driver.commit_parcels();
    driver.ack_all();
    assert_eq!(driver.written(), ["a", "b", "a2", "b"]);
    assert_eq!(driver.letters.rows.len(), 2, "the event and its follower");
    driver.record();
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn halt_names_the_one_that_is_refused_alone() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.refuse("b");
    driver.refuse("a");
    driver.read_lost();
    driver.ack("a");
    driver.read_all();
    assert_eq!(driver.in_flight(), ["b"]);
    driver.refuse("b");
    driver.read_lost();
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("record_too_large"));
    assert_eq!(driver.written(), ["a", "b", "a"]);
}

#[test]
fn skip_leaves_a_row_and_blocks_nothing() {
    let mut driver = with_limit(|settings| settings.parking.policy = Policy::Skip);
    large(&mut driver, "a");
    driver.insert("a");
    assert_eq!(driver.in_flight(), ["a"]);
    driver.commit_parcels();
    driver.ack_all();
    driver.record();
    assert_eq!(driver.unrecorded(), 0);
    assert_eq!(driver.letters.rows.len(), 1);
}

#[test]
fn one_more_than_the_limit_stops() {
    let mut driver = with_limit(|settings| {
        parking(settings);
        settings.parking.max_parked_per_key = 2;
    });
    large(&mut driver, "a");
    driver.insert("a a");
    driver.commit_parcels();
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("too_many_parked"));
}

#[test]
fn a_replayed_key_is_free_when_its_last_row_is_published() {
    let mut driver = with_limit(parking);
    large(&mut driver, "a");
    driver.insert("a");
    driver.commit_parcels();
    driver.larger_limit();
    driver.insert("b");
    driver.replay(0);
    assert_eq!(driver.in_flight(), ["b"], "the window empties first");
    driver.commit("a");
    driver.ack("b");
    assert_eq!(driver.in_flight(), ["a"]);
    assert!(driver.kafka.in_flight[0].is_replay);
    driver.ack("a");
    driver.read_all();
    assert_eq!(driver.letters.in_flight.len(), 1, "its key still has a row");
    driver.commit_parcels();
    driver.replay(1);
    driver.ack("a");
    driver.replay(2);
    driver.ack("a");
    driver.insert("a");
    assert_eq!(driver.in_flight(), ["a"]);
    assert!(!driver.kafka.in_flight[0].is_replay);
    driver.ack_all();
    driver.record();
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn a_replay_that_is_refused_again_leaves_its_key_parked() {
    let mut driver = with_a_row();
    driver.step(1);
    driver.replay(0);
    let topic = driver.asked.pop_front().expect("looked up anew");
    driver.topic_answer(&topic, Ok(TopicInfo { max_message_bytes: Some(LIMIT), ..info(2) }));
    assert!(driver.take().iter().any(|it| it.starts_with("replayed 0: Refused")));
    driver.insert("a b");
    assert_eq!(driver.in_flight(), ["b"]);
}

#[test]
fn a_replay_lost_with_its_producer_goes_again() {
    let mut driver = replaying();
    driver.kill_producer();
    driver.read_all();
    assert_eq!(driver.in_flight(), ["a"]);
    driver.ack("a");
    driver.insert("a");
    assert_eq!(driver.in_flight(), ["a"]);
}

/// A new session reads the same request, and cannot know that its event is in flight already.
#[test]
fn a_replay_that_is_in_flight_is_not_sent_again_by_the_next_session() {
    let mut driver = replaying();
    assert_eq!(driver.in_flight(), ["a"]);
    driver.cut();
    driver.reopen();
    driver.take();
    driver.replay(0);
    assert_eq!(driver.take_deeds(), ["replayed 0: Later"]);
    assert_eq!(driver.in_flight(), ["a"]);
    driver.ack("a");
    assert_eq!(driver.take_deeds(), ["replayed 0: Published"]);
}

#[test]
fn a_limit_is_looked_up_again_before_an_event_is_parked() {
    let mut driver = with_limit(parking);
    driver.step(1_000);
    large(&mut driver, "a");
    assert!(driver.letters.in_flight.is_empty());
    driver.topics_found();
    assert_eq!(driver.in_flight(), ["a"]);
}

#[test]
fn an_event_before_the_parked_one_is_published_after_a_restart() {
    let mut driver = with_limit(parking);
    driver.insert("a");
    large(&mut driver, "a");
    driver.commit_parcel();
    // The first one was never written.
    driver.restart_process();
    driver.reopen();
    driver.read_all();
    driver.topics_found();
    driver.read_all();
    assert_eq!(driver.in_flight(), ["a"]);
    assert!(driver.letters.in_flight.is_empty());
    driver.insert("a");
    assert_eq!(driver.letters.in_flight.len(), 1);
}

#[test]
fn a_replay_does_not_overtake_what_was_lost() {
    let mut driver = with_limit(parking);
    driver.insert("a");
    large(&mut driver, "a");
    driver.commit_parcel();
    driver.replay(0);
    driver.take();
    driver.kill_producer();
    assert!(driver.take().contains(&"replayed 0: Later".to_owned()));
    driver.read_lost();
    assert_eq!(driver.in_flight(), ["a"]);
    assert!(!driver.kafka.in_flight[0].is_replay);
}

#[test]
fn a_replay_does_not_overtake_the_stream_after_a_restart() {
    let mut driver = with_limit(parking);
    driver.insert("a");
    large(&mut driver, "a");
    driver.commit_parcel();
    driver.restart_process();
    driver.reopen();
    driver.take();
    driver.replay(0);
    assert!(driver.take().contains(&"replayed 0: Later".to_owned()));
    driver.topics_found();
    driver.read_all();
    driver.ack("a");
    driver.replay(0);
    assert!(driver.kafka.in_flight[0].is_replay);
}

#[test]
fn a_replay_lost_after_its_session_is_not_sent_again_by_itself() {
    let mut driver = replaying();
    assert_eq!(driver.in_flight(), ["a"]);
    driver.cut();
    driver.kill_producer();
    driver.reopen();
    driver.read_all();
    assert_eq!(driver.in_flight(), [""; 0]);
    driver.replay(0);
    assert_eq!(driver.in_flight(), ["a"]);
}

#[test]
fn a_replay_offered_after_standing_still_is_given_back() {
    let mut driver = with_a_row();
    driver.larger_limit();
    driver.freeze(8000);
    driver.replay(0);
    assert!(driver.take().contains(&"replayed 0: Later".to_owned()));
}

#[test]
fn a_row_past_the_position_is_known_again_after_a_promotion() {
    let mut driver = with_a_row();
    driver.postgres.promote();
    driver.cut();
    driver.reopen();
    driver.read_all();
    driver.topics_found();
    assert!(driver.letters.in_flight.is_empty(), "it has a row");
    driver.record();
    assert_eq!(driver.unrecorded(), 0);
    driver.insert("a");
    assert_eq!(driver.letters.in_flight.len(), 1);
}

/// Somebody creates the topic, and has the event published again.
#[test]
fn a_topic_that_was_unknown_is_looked_up_again_for_a_replay_and_for_later_events() {
    let mut driver = Driver::streaming_with(|settings| {
        parking(settings);
        settings.release_after = Duration::from_secs(60);
    });
    driver.insert("a");
    for _ in 0..=30 {
        driver.topic_fails(&TopicError::Unknown);
        driver.step(1000);
    }
    driver.commit_parcels();
    assert_eq!(driver.letters.rows.len(), 1);
    driver.step(2000);
    driver.replay(0);
    driver.topics_found();
    assert_eq!(driver.in_flight(), ["a"]);
    driver.ack("a");
    driver.insert("b");
    assert_eq!(driver.in_flight(), ["b"]);
}
