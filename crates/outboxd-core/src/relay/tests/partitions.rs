//! A topic that gets more partitions while it is written to.

use super::TOPIC;
use super::driver::Driver;
use crate::relay::{Note, Settings};
use crate::topics::OnPartitionsChanged;

fn switching(settings: &mut Settings) {
    settings.on_partitions_changed = OnPartitionsChanged::Switch;
}

/// The next look at the topic finds so many.
fn grown(driver: &mut Driver, partitions: u32) {
    driver.kafka.partitions.insert(TOPIC.to_owned(), partitions);
    driver.step(31_000);
}

fn switches(driver: &Driver) -> Vec<(u32, u32)> {
    let switch = |note: &Note| match note {
        Note::PartitionsSwitched { from, to, .. } => Some((*from, *to)),
        _ => None,
    };
    driver.notes.iter().filter_map(switch).collect()
}

#[test]
fn it_is_noticed_and_stops() {
    let mut driver = Driver::warm();
    grown(&mut driver, 4);
    driver.insert("a");
    assert_eq!(driver.in_flight(), ["a"], "nobody waits for the look");
    driver.topics_found();
    driver.ack_all();
    driver.record();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("partitions_changed"));
}

#[test]
fn it_goes_over_between_transactions_with_nothing_in_flight() {
    let mut driver = Driver::warm_with(switching);
    grown(&mut driver, 64);
    driver.insert("a");
    driver.topics_found();
    driver.insert("c d");
    assert_eq!(driver.in_flight(), ["a"], "the rest waits for the ack");
    assert!(switches(&driver).is_empty());
    driver.take();
    driver.ack("a");
    driver.read_all();
    assert_eq!(switches(&driver), [(2, 64)]);
    assert!(driver.in_flight().contains(&"c"));
    let partitions: Vec<i32> = driver.kafka.in_flight.iter().map(|it| it.partition).collect();
    assert!(partitions.iter().any(|partition| *partition > 1), "{partitions:?}");
    driver.ack_all();
    driver.record();
    assert_eq!(driver.kafka.recorded().topics.get(TOPIC), Some(&64));
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn a_transaction_that_has_begun_is_placed_as_it_began() {
    let mut driver = Driver::warm_with(switching);
    grown(&mut driver, 64);
    driver.commit("a b a b");
    while driver.in_flight().is_empty() {
        assert!(driver.read());
    }
    driver.topics_found();
    driver.read_all();
    driver.ack_all();
    assert!(switches(&driver).is_empty());
    assert!(driver.kafka.written.iter().all(|sent| sent.partition < 2));
    driver.insert("a");
    assert_eq!(switches(&driver), [(2, 64)]);
}

#[test]
fn it_goes_over_after_a_restart_too_and_never_to_fewer() {
    let mut driver = Driver::warm_with(switching);
    driver.kafka.partitions.insert(TOPIC.to_owned(), 64);
    driver.restart_process();
    driver.reopen();
    driver.insert("a");
    driver.topics_found();
    assert_eq!(driver.in_flight(), ["a"]);
    assert_eq!(switches(&driver), [(2, 64)]);
    driver.ack_all();
    driver.record();
    driver.kafka.partitions.insert(TOPIC.to_owned(), 8);
    driver.restart_process();
    driver.reopen();
    driver.insert("a");
    driver.topics_found();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("partitions_changed"));
}
