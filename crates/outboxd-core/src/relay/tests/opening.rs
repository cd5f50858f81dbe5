//! From the connection to the stream, and what may come between.

use super::TOPIC;
use super::driver::{Driver, info};
use super::postgres::START;
use crate::lsn::Lsn;
use crate::progress::{topic_key, topic_value};
use crate::relay::{Goal, Note};

#[test]
fn claims_looks_again_and_only_then_streams() {
    let mut driver = Driver::with(|_| {});
    driver.commit("a");
    driver.start();
    assert_eq!(driver.take(), ["open"]);
    driver.opened();
    assert_eq!(driver.take(), ["record 1: 0/1000+0"], "the claim");
    driver.step(5000);
    assert!(driver.take().is_empty(), "nothing before its ack");
    driver.ack_progress();
    assert_eq!(driver.take(), ["read progress"]);
    driver.step(5000);
    assert!(driver.take().is_empty() && !driver.relay.wants_input(), "nothing before the look");
    driver.reread();
    assert_eq!(driver.take(), ["start", "status 0/1000"]);
    assert!(driver.relay.wants_input() && driver.relay.is_active());
}

#[test]
fn a_closed_gate_stops_before_anything_is_written() {
    let mut driver = Driver::new();
    driver.postgres.slot = None;
    driver.start();
    driver.opened();
    assert_eq!(driver.take(), ["open", "finished slot_missing"]);
    assert!(driver.kafka.progress.is_empty());
}

#[test]
fn the_first_run_records_that_it_creates_the_slot_before_it_does() {
    let mut driver = first_run(Goal::Run);
    driver.start();
    driver.opened();
    assert_eq!(driver.take(), ["open", "record 1: 0/0+0 creating"]);
    driver.ack_progress();
    driver.reread();
    assert_eq!(driver.take(), ["read progress", "create slot"]);
    driver.postgres.write_idle_wal(0x100);
    driver.slot_created();
    assert_eq!(driver.take(), ["record 1: 0/1100+0"]);
    driver.step(3000);
    assert!(driver.take().is_empty(), "nothing is streamed from an unrecorded position");
    driver.ack_progress();
    assert_eq!(driver.take(), ["start", "status 0/1100"]);
}

#[test]
fn a_kill_between_slot_and_position_is_made_good() {
    for slot_was_created in [false, true] {
        let mut driver = first_run(Goal::Run);
        driver.start();
        driver.opened();
        driver.ack_progress();
        driver.reread();
        if slot_was_created {
            driver.slot_created();
        }
        driver.restart_process();
        driver.insert("early");
        driver.take();
        driver.reopen();
        let deeds = driver.take_deeds();
        assert_eq!(deeds.contains(&"create slot".to_owned()), !slot_was_created, "{deeds:?}");
        let position = driver.kafka.recorded().progress.unwrap();
        assert!(!position.creating);
        assert_eq!(Some(position.end_lsn), driver.postgres.slot);
    }
}

#[test]
fn setting_up_ends_when_the_position_is_recorded() {
    let mut driver = first_run(Goal::SetUp);
    driver.start();
    driver.opened();
    driver.ack_progress();
    driver.reread();
    driver.slot_created();
    driver.take();
    assert!(driver.finished.is_none());
    driver.ack_progress();
    assert_eq!(driver.take(), ["finished"]);
}

#[test]
fn a_claim_that_was_overtaken_is_given_up() {
    let mut driver = Driver::new();
    driver.start();
    driver.opened();
    driver.ack_progress();
    driver.foreign_claim();
    driver.take();
    driver.reread();
    let expected = ["close: another relay claimed the progress topic", "open"];
    assert_eq!(driver.take(), expected);
    assert!(!driver.relay.is_active());
    driver.reopen();
    assert_eq!(driver.kafka.recorded().progress.unwrap().acquisition, 3);
}

#[test]
fn a_claim_that_somebody_wrote_behind_is_given_up() {
    let mut driver = Driver::new();
    driver.start();
    driver.opened();
    driver.ack_progress();
    driver.kafka.progress.push((topic_key("x"), Some(topic_value(3))));
    driver.take();
    driver.reread();
    assert_eq!(driver.take()[1], "open");
}

#[test]
fn older_acquisitions_are_forgotten_once_the_claim_holds() {
    let mut driver = Driver::streaming();
    driver.restart_process();
    driver.take();
    driver.reopen();
    let deeds = driver.take_deeds();
    assert_eq!(deeds[..2], ["record 2: 0/1000+0", "read progress"]);
    assert_eq!(deeds[2..], ["forget progress/00000000000000000001", "start"]);
    assert!(driver.kafka.recorded().older.is_empty());
}

#[test]
fn a_foreign_writer_ends_everything_at_once() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.ack("a");
    driver.step(100);
    driver.foreign_claim();
    driver.commit("c");
    driver.take();
    driver.ack_progress();
    let deeds = driver.take_deeds();
    assert!(deeds[0].starts_with("close: progress record got offset"), "{deeds:?}");
    assert_eq!(deeds[1..], ["open"]);
    driver.read_all();
    driver.ack_all();
    driver.step(20_000);
    assert!(driver.take().is_empty(), "nothing is written while the lock is not ours");
}

/// What was waiting to be written may not be written any more.
#[test]
fn a_foreign_writer_ends_what_was_queued_for_the_progress_topic() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.ack("a");
    driver.step(100);
    let event = driver.event("invoice", "i");
    driver.postgres.commit(vec![event]);
    driver.read_all();
    driver.topics_found();
    driver.foreign_claim();
    driver.take();
    driver.ack_progress();
    driver.step(5000);
    assert!(driver.kafka.progress_in_flight.is_empty(), "{:?}", driver.take());
}

/// The second opening need not begin while the first is under way.
#[test]
fn a_foreign_writer_found_between_sessions_opens_no_second_one() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.ack("a");
    driver.step(100);
    driver.cut();
    driver.foreign_claim();
    driver.take();
    driver.ack_progress();
    assert!(driver.take_deeds().is_empty());
    driver.reopen();
    assert_eq!(driver.kafka.recorded().progress.unwrap().acquisition, 3);
}

/// Somebody else's window counts, once our reports are in.
#[test]
fn a_foreign_acquisition_replaces_the_window_after_the_last_report() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.cut();
    driver.foreign_claim();
    driver.take();
    driver.opened();
    assert!(driver.take_deeds().is_empty(), "two reports are to come");
    driver.ack("a");
    assert!(driver.take_deeds().is_empty(), "one report is to come");
    driver.ack("b");
    let position = driver.kafka.recorded().progress.unwrap().end_lsn;
    assert_eq!(driver.take(), [format!("record 3: {position}+0")]);
    driver.ack_progress();
    driver.reread();
    driver.read_all();
    assert_eq!(driver.in_flight(), ["a", "b"], "as the other's progress says");
}

/// An opening that was interrupted after its claim was written is no take-over by somebody else.
#[test]
fn an_interrupted_claim_of_our_own_repeats_nothing() {
    for claim_written in [false, true] {
        let mut driver = Driver::warm();
        driver.insert("a b");
        driver.cut();
        driver.opened();
        if claim_written {
            driver.ack_progress();
        }
        driver.cut();
        driver.ack("a");
        driver.opened();
        if !claim_written {
            driver.ack_progress();
        }
        driver.ack_progress();
        driver.reread();
        driver.read_all();
        driver.ack_all();
        driver.record();
        assert_eq!(driver.written(), ["a", "b", "a", "b"], "claim written: {claim_written}");
    }
}

/// The claim that was written need not be the last one that was made.
#[test]
fn the_older_of_two_interrupted_claims_is_known_again() {
    let mut driver = Driver::warm();
    driver.insert("a b");
    driver.cut();
    driver.opened();
    driver.cut();
    driver.step(1000);
    driver.opened();
    driver.cut();
    driver.ack_progress();
    driver.ack("a");
    driver.reopen();
    driver.read_all();
    assert_eq!(driver.in_flight(), ["b"]);
}

/// A claim may be written only by who holds the lock.
#[test]
fn a_claim_that_was_not_handed_over_dies_with_its_session() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.ack("a");
    driver.step(100);
    driver.cut();
    driver.opened();
    driver.cut();
    driver.take();
    driver.ack_progress();
    driver.step(5000);
    assert!(driver.take_deeds().is_empty(), "no claim without a session");
}

#[test]
fn a_lost_claim_is_written_again() {
    let mut driver = Driver::new();
    driver.start();
    driver.opened();
    driver.take();
    driver.kill_producer();
    assert_eq!(driver.take(), ["replace producer", "record 1: 0/1000+0"]);
    driver.ack_progress();
    driver.reread();
    assert!(driver.relay.is_streaming());
}

/// An answer about a topic that comes in the middle of an opening must not look like a stranger.
#[test]
fn a_topic_found_during_the_opening_is_recorded_after_it() {
    for acked_before in [false, true] {
        let mut driver = Driver::streaming();
        driver.insert("a");
        driver.cut();
        driver.opened();
        if acked_before {
            driver.ack_progress();
        }
        driver.topic_answer(TOPIC, Ok(info(2)));
        if !acked_before {
            driver.ack_progress();
        }
        driver.reread();
        driver.record();
        assert!(driver.relay.is_streaming(), "{:?}", driver.take());
        assert_eq!(driver.kafka.recorded().topics.get(TOPIC), Some(&2));
    }
}

/// A partition count that was learned while somebody else's claim was unknown is recorded later.
#[test]
fn a_topic_whose_record_was_dropped_with_the_ownership_is_recorded_later() {
    let mut driver = Driver::streaming();
    driver.insert("a");
    driver.postgres.write_idle_wal(0x100);
    driver.topics_found();
    assert_eq!(driver.kafka.progress_in_flight.len(), 1, "the topic's record");
    driver.kafka.progress_in_flight.clear();
    driver.foreign_claim();
    driver.relay.handle_progress_lost(driver.now(), "fatal");
    driver.settle();
    driver.kafka.progress_in_flight.clear();
    driver.kill_producer();
    driver.cut();
    driver.ack_all();
    driver.opened();
    while !driver.relay.is_streaming() {
        if driver.awaits.reread {
            driver.reread();
        } else {
            driver.ack_progress();
        }
    }
    driver.record();
    assert_eq!(driver.kafka.recorded().topics.get(TOPIC), Some(&2));
}

/// The other relay may have gone over to a larger topic meanwhile.
#[test]
fn a_partition_count_that_another_owner_recorded_is_compared() {
    let mut driver = Driver::warm();
    driver.cut();
    driver.foreign_claim();
    driver.kafka.progress.push((topic_key(TOPIC), Some(topic_value(4))));
    driver.kafka.partitions.insert(TOPIC.to_owned(), 4);
    driver.reopen();
    driver.insert("c");
    driver.topics_found();
    assert_eq!(driver.in_flight(), ["c"]);
    let expected = crate::murmur2::partition(Some(b"c"), b"", 4);
    assert_eq!(driver.kafka.in_flight[0].partition, expected);
}

#[test]
fn a_promoted_server_gets_the_window_of_the_record() {
    let mut driver = Driver::warm();
    driver.insert("a");
    driver.ack("a");
    driver.record();
    driver.insert("b");
    driver.cut();
    driver.postgres.promote();
    driver.opened();
    driver.ack("b");
    driver.take();
    driver.ack_progress();
    driver.reread();
    assert!(driver.notes.iter().any(|note| matches!(note, Note::Claimed { acquisition: 2, .. })));
    let end = driver.insert("c d");
    driver.ack_all();
    driver.record();
    let written = driver.written();
    assert_eq!(written[written.len() - 2..], ["c", "d"], "nothing new is skipped");
    let progress = driver.kafka.recorded().progress.unwrap();
    assert_eq!((progress.timeline, progress.epoch, progress.end_lsn), (2, 2, end));
}

fn first_run(goal: Goal) -> Driver {
    let mut driver = Driver::with(|settings| {
        settings.goal = goal;
        settings.rules.create_slot = true;
        settings.rules.adopt_slot = false;
    });
    driver.postgres.slot = None;
    assert_eq!(driver.postgres.flush_lsn, START);
    driver
}

/// The claim of a relay that lost its session before it was written.
#[test]
fn a_late_claim_of_the_same_acquisition_does_not_set_the_position_back() {
    let mut driver = Driver::warm();
    let end = driver.relay.confirmed();
    let mut late = driver.kafka.recorded().progress.expect("a position");
    late.end_lsn = START;
    driver.kafka.progress.push((late.key(), Some(late.value())));
    driver.restart_process();
    driver.reopen();
    assert_eq!(driver.relay.confirmed(), end);
    assert_eq!(driver.written(), ["a", "b"]);
}

/// Two relays that were cut before their claims were written may claim the same acquisition. The
/// other's, which is written first, may stand higher than what this one knows.
#[test]
fn a_claim_beside_another_of_the_same_acquisition_is_given_up() {
    let mut driver = Driver::warm();
    driver.restart_process();
    driver.opened();
    let mut other = driver.kafka.recorded().progress.expect("a position");
    other.acquisition += 1;
    other.end_lsn = Lsn::new(0x9000);
    driver.kafka.progress.push((other.key(), Some(other.value())));
    driver.ack_progress();
    driver.take();
    driver.postgres.flush_lsn = Lsn::new(0x9000);
    driver.reread();
    let expected = ["close: another relay claimed the progress topic", "open"];
    assert_eq!(driver.take(), expected);
    driver.reopen();
    assert_eq!(driver.kafka.recorded().progress.unwrap().acquisition, 3);
}
