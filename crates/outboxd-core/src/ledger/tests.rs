//! One record at a time, and only while nobody else writes.

use super::{Entry, ForeignWriter, Ledger, Position};
use crate::lsn::Lsn;
use crate::progress::{Progress, tests::progress};

#[test]
fn records_go_out_one_at_a_time_and_in_order() {
    let mut ledger = owned(10);
    ledger.push(topic("a"));
    ledger.push(topic("b"));
    assert_eq!(take(&mut ledger), "topic/a");
    assert!(ledger.is_in_flight());
    assert_eq!(ledger.take(), None, "a is in flight");
    assert_eq!(acked(&mut ledger, Some(10)), Ok("topic/a".to_owned()));
    assert!(!ledger.is_in_flight());
    assert!(!ledger.is_idle(), "b waits");
    assert_eq!(take(&mut ledger), "topic/b");
    assert!(!ledger.is_idle(), "b is in flight");
    assert_eq!(acked(&mut ledger, Some(11)), Ok("topic/b".to_owned()));
    assert!(ledger.is_idle());
    assert_eq!(ledger.take(), None);
}

#[test]
fn entries_are_written_as_they_are_read() {
    let mut ledger = Ledger::default();
    let position = Position { progress: progress(3, 200), durable_records: 7 };
    ledger.claim(progress(3, 100));
    ledger.push(Entry::Position(Box::new(position)));
    ledger.push(Entry::Topic { name: "orders".to_owned(), partitions: 12 });
    ledger.push(Entry::Forget { acquisition: 2 });
    let mut written = Vec::new();
    let (_, claim) = ledger.take().expect("the claim");
    assert_eq!(claim, Some(progress(3, 100).value()));
    ledger.acked(Some(4)).expect("nothing to compare with");
    assert_eq!(ledger.take(), None, "only the claim while the topic is not ours");
    ledger.owned_from(5);
    while let Some((key, value)) = ledger.take() {
        let value = value.map(|value| String::from_utf8(value).expect("JSON"));
        written.push((String::from_utf8(key).expect("text"), value));
        ledger.acked(None).expect("nothing to compare with");
    }
    let json = |progress: &Progress| serde_json::to_string(progress).expect("plain data");
    let third = "progress/00000000000000000003".to_owned();
    assert_eq!(
        written,
        [
            (third, Some(json(&progress(3, 200)))),
            ("topic/orders".to_owned(), Some(r#"{"partitions":12}"#.to_owned())),
            ("progress/00000000000000000002".to_owned(), None),
        ]
    );
}

#[test]
fn a_foreign_record_shows_in_the_offset() {
    for found in [9, 11, 12] {
        let mut ledger = owned(10);
        send(&mut ledger, "a");
        let expected = ForeignWriter { expected: 10, found };
        assert_eq!(acked(&mut ledger, Some(found)), Err(expected));
    }
    let mut ledger = owned(10);
    send(&mut ledger, "a");
    assert_eq!(acked(&mut ledger, Some(10)), Ok("topic/a".to_owned()));
    send(&mut ledger, "b");
    let error = acked(&mut ledger, Some(12)).expect_err("somebody wrote 11");
    assert_eq!(
        error.to_string(),
        "progress record got offset 12, expected 11: another relay has written"
    );
}

#[test]
fn an_offset_that_the_broker_does_not_tell_counts_as_the_next() {
    let mut ledger = owned(10);
    send(&mut ledger, "a");
    assert!(acked(&mut ledger, None).is_ok());
    send(&mut ledger, "b");
    assert!(acked(&mut ledger, Some(11)).is_ok());
    send(&mut ledger, "c");
    assert!(acked(&mut ledger, Some(11)).is_err());
}

#[test]
fn a_lost_record_goes_first_and_may_stand_there_twice() {
    for (lost, found, fits) in
        [(1, 10, true), (1, 11, true), (1, 12, false), (2, 12, true), (2, 13, false), (1, 9, false)]
    {
        let mut ledger = owned(10);
        ledger.push(topic("a"));
        ledger.push(topic("b"));
        for _ in 0..lost {
            assert_eq!(take(&mut ledger), "topic/a");
            ledger.lost();
            assert!(!ledger.is_in_flight());
        }
        assert_eq!(take(&mut ledger), "topic/a", "before b");
        assert_eq!(acked(&mut ledger, Some(found)).is_ok(), fits, "lost {lost}, found {found}");
    }
}

#[test]
fn after_an_acked_offset_nothing_is_uncertain_any_more() {
    let mut ledger = owned(10);
    send(&mut ledger, "a");
    ledger.lost();
    ledger.take().expect("again");
    assert!(acked(&mut ledger, Some(11)).is_ok(), "the lost one stands at 10");
    send(&mut ledger, "b");
    assert!(acked(&mut ledger, Some(13)).is_err(), "12 is not ours");
}

#[test]
fn a_lost_record_stays_uncertain_while_offsets_are_unknown() {
    let mut ledger = owned(10);
    send(&mut ledger, "a");
    ledger.lost();
    ledger.take().expect("again");
    assert!(acked(&mut ledger, None).is_ok(), "at 10 or 11");
    send(&mut ledger, "b");
    assert!(acked(&mut ledger, Some(12)).is_ok());
}

#[test]
fn losing_nothing_changes_nothing() {
    let mut ledger = owned(10);
    ledger.lost();
    assert!(ledger.is_idle());
    send(&mut ledger, "a");
    assert!(acked(&mut ledger, Some(11)).is_err());
}

#[test]
fn a_claim_clears_the_queue_and_accepts_any_offset() {
    let mut ledger = owned(10);
    ledger.push(topic("a"));
    ledger.claim(progress(4, 100));
    assert_eq!(take(&mut ledger), "progress/00000000000000000004");
    assert!(acked(&mut ledger, Some(77)).is_ok());
    assert!(ledger.is_idle(), "a was for the former acquisition");
    ledger.owned_from(78);
    send(&mut ledger, "b");
    assert!(acked(&mut ledger, Some(79)).is_err());
}

#[test]
fn a_lost_claim_is_written_again() {
    let mut ledger = Ledger::default();
    ledger.claim(progress(4, 100));
    ledger.push(topic("a"));
    assert_eq!(take(&mut ledger), "progress/00000000000000000004");
    ledger.lost();
    assert_eq!(take(&mut ledger), "progress/00000000000000000004");
}

#[test]
fn what_is_in_flight_at_a_claim_gets_its_report() {
    let mut ledger = owned(10);
    send(&mut ledger, "a");
    ledger.claim(progress(4, 100));
    assert_eq!(ledger.take(), None, "a is in flight");
    assert_eq!(acked(&mut ledger, Some(10)), Ok("topic/a".to_owned()));
    assert_eq!(take(&mut ledger), "progress/00000000000000000004");
}

/// It was an entry of the former acquisition: written again it would follow a newer owner's.
#[test]
fn what_is_lost_after_a_claim_is_not_written_again() {
    let mut ledger = owned(10);
    send(&mut ledger, "a");
    ledger.claim(progress(4, 100));
    ledger.lost();
    assert_eq!(take(&mut ledger), "progress/00000000000000000004");
    assert!(acked(&mut ledger, Some(11)).is_ok());
    assert!(ledger.is_idle());
}

fn owned(next_offset: i64) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.owned_from(next_offset);
    ledger
}

fn topic(name: &str) -> Entry {
    Entry::Topic { name: name.to_owned(), partitions: 3 }
}

fn send(ledger: &mut Ledger, name: &str) {
    ledger.push(topic(name));
    assert_eq!(take(ledger), format!("topic/{name}"));
}

fn take(ledger: &mut Ledger) -> String {
    let (key, _) = ledger.take().expect("an entry is waiting");
    String::from_utf8(key).expect("text")
}

fn acked(ledger: &mut Ledger, offset: Option<i64>) -> Result<String, ForeignWriter> {
    let entry = ledger.acked(offset)?.expect("it was in flight");
    Ok(String::from_utf8(entry.encode().0).expect("text"))
}

#[test]
fn a_position_knows_what_it_covers() {
    let mut ledger = owned(10);
    let position = Position { progress: progress(3, 200), durable_records: 7 };
    ledger.push(Entry::Position(Box::new(position)));
    ledger.take().expect("it is waiting");
    let Ok(Some(Entry::Position(acked))) = ledger.acked(Some(10)) else { panic!("a position") };
    assert_eq!((acked.durable_records, acked.progress.end_lsn), (7, Lsn::new(200)));
}
