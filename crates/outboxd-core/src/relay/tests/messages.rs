//! Events that come as logical messages, beside rows.

use super::PREFIX;
use super::driver::Driver;
use super::postgres::{Change, SENT, message};
use crate::encode;
use crate::lsn::Lsn;
use crate::parking::Policy;
use crate::relay::{Note, Settings};
use crate::wire::Frame;

fn parking(settings: &mut Settings) {
    settings.parking.policy = Policy::Park;
}

fn content(id: &str, key: &str) -> String {
    format!(
        r#"{{"v":1,"row":{{"id":"{id}","aggregatetype":"order","aggregateid":"{key}",
        "type":"Happened","payload":"{key}#{id}"}}}}"#
    )
}

fn event_message(id: &str, key: &str) -> Change {
    Change::EventMessage { content: content(id, key) }
}

fn garbage(key: &str) -> Change {
    Change::EventMessage { content: format!(r#"{{"v":1,"row":{{"aggregateid":"{key}"}}}}"#) }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let (start, end) = (Lsn::ZERO, Lsn::ZERO);
    encode::frame(&Frame::XLogData { start, end, sent: SENT, body })
}

/// Rows and messages of one transaction, in their order.
fn mixed(driver: &mut Driver) -> Vec<Change> {
    let (first, last) = (driver.event("order", "a"), driver.event("order", "a"));
    vec![first, event_message("m", "a"), Change::Message, last, event_message("n", "b")]
}

#[test]
fn messages_and_rows_keep_the_order_in_which_they_were_written() {
    let mut driver = Driver::warm();
    let changes = mixed(&mut driver);
    let end = driver.postgres.commit(changes);
    driver.read_all();
    driver.ack_all();
    driver.record();
    assert_eq!(driver.written(), ["a", "b", "a", "a", "a", "b"]);
    let values: Vec<_> = driver.kafka.written[2..].iter().map(|it| it.value.as_str()).collect();
    assert_eq!(values, ["a#3", "a#m", "a#4", "b#n"]);
    assert_eq!(driver.relay.confirmed(), end);
    assert_eq!(driver.relay.stats().ignored_rows, 0);
}

#[test]
fn a_new_process_goes_on_between_messages() {
    for read in 2..6 {
        let mut driver = Driver::warm();
        let changes = mixed(&mut driver);
        driver.postgres.commit(changes);
        for _ in 0..read {
            driver.read();
        }
        driver.ack_all_in_flight();
        driver.record();
        driver.restart_process();
        driver.reopen();
        driver.read_all();
        driver.topics_found();
        driver.ack_all();
        assert_eq!(driver.written(), ["a", "b", "a", "a", "a", "b"], "after {read} frames");
    }
}

#[test]
fn a_message_waits_for_its_topic_and_then_goes() {
    let mut driver = Driver::streaming();
    driver.postgres.commit(vec![event_message("m", "a")]);
    driver.read_all();
    assert!(driver.relay.is_holding());
    driver.topics_found();
    driver.ack_all();
    assert_eq!(driver.written(), ["a"]);
}

#[test]
fn a_message_that_is_no_row_is_parked_and_its_key_behind_it() {
    let mut driver = Driver::warm_with(parking);
    driver.postgres.commit(vec![garbage("a"), event_message("m", "a"), event_message("n", "b")]);
    driver.read_all();
    assert_eq!(driver.in_flight(), ["b"]);
    driver.ack_all();
    driver.commit_parcels();
    let rows: Vec<_> = driver.letters.rows.values().map(|row| row.event_id.as_deref()).collect();
    assert_eq!(rows, [None, Some("m")]);
    driver.record();
    assert_eq!(driver.unrecorded(), 0);
}

#[test]
fn a_message_that_is_no_row_halts_where_nothing_is_parked() {
    let mut driver = Driver::warm();
    driver.postgres.commit(vec![Change::EventMessage { content: "garbage".to_owned() }]);
    driver.read_all();
    driver.stream_ended();
    assert_eq!(driver.stop_code(), Some("invalid_record"));
}

#[test]
fn a_message_too_large_to_be_read_is_parked_by_its_name() {
    let mut driver = Driver::warm_with(parking);
    driver.commit("b");
    driver.read();
    let whole = content("m", "a");
    let body = message(true, PREFIX, whole.as_bytes());
    let cut = body.len() - 6;
    driver.skimmed(&body[..cut], 70_000_000);
    driver.read_all();
    driver.commit_parcels();
    let row = driver.letters.rows.values().next().unwrap();
    assert_eq!((row.event_id.as_deref(), row.key.as_deref()), (Some("m"), Some(&b"a"[..])));
    assert_eq!(row.topic.as_deref(), Some("outbox.event.order"));
}

/// Its writer may have rolled back.
#[test]
fn a_message_outside_of_a_transaction_is_never_an_event() {
    let mut driver = Driver::warm_with(parking);
    let body = message(false, PREFIX, content("m", "a").as_bytes());
    driver.frame(&frame(&body));
    driver.skimmed(&body[..body.len() - 20], 70_000_000);
    driver.frame(&frame(&message(false, "somebody", b"else's")));
    driver.insert("b");
    assert_eq!(driver.in_flight(), ["b"]);
    assert!(driver.letters.in_flight.is_empty());
    assert_eq!(driver.relay.stats().stray_messages, 2);
    let notes = driver.notes.iter().filter(|note| **note == Note::StrayMessage);
    assert_eq!(notes.count(), 1);
}
