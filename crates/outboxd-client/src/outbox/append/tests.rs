//! Each rule of an append, without a database.

use super::*;
use crate::outbox::*;

fn refused(outbox: &Outbox, event: Event) -> String {
    outbox.row(event).unwrap_err().to_string()
}

fn placed() -> Event {
    Event::new("Order", "o-1", "OrderPlaced").json(&1).unwrap()
}

fn with_columns(topic: bool, partition_key: bool) -> Outbox {
    let name = |has: bool, name: &str| has.then(|| name.to_owned());
    Outbox::new().columns(ColumnNames {
        topic: name(topic, "topic"),
        partition_key: name(partition_key, "partition_key"),
        ..ColumnNames::default()
    })
}

#[test]
fn an_aggregate_type_must_make_a_topic() {
    let event = Event::new("Order Placed", 1, "x");
    assert_eq!(
        refused(&Outbox::new(), event),
        "topic \"outbox.event.Order Placed\" contains ' ', but a topic name is made of letters, \
         digits, '.', '_' and '-'"
    );
    assert!(Outbox::new().row(Event::new("x".repeat(236), 1, "x")).is_ok());
    let error = refused(&Outbox::new(), Event::new("x".repeat(237), 1, "x"));
    assert!(error.ends_with("is longer than 249 characters"), "{error}");
}

#[test]
fn the_relays_own_topic_rules_count() {
    let template = |text: &str| TopicRules { template: text.to_owned(), ..TopicRules::default() };
    let outbox = Outbox::new().topics(template("${type}")).unwrap();
    assert!(outbox.row(Event::new("any thing", 1, "Placed")).is_ok());
    assert!(refused(&outbox, Event::new("Order", 1, "")).contains("is empty"));
    assert!(Outbox::new().topics(template("${nothing}")).is_err());
    let allowed = TopicRules { allow: vec!["outbox.event.O*".to_owned()], ..TopicRules::default() };
    let outbox = Outbox::new().topics(allowed).unwrap();
    assert!(outbox.row(placed()).is_ok());
    assert!(refused(&outbox, Event::new("Payment", 1, "x")).contains("topic.allow"));
}

#[test]
fn a_topic_of_its_own_needs_a_column_and_a_name() {
    let error = refused(&Outbox::new(), placed().topic("orders"));
    assert_eq!(
        error,
        "topic \"orders\" has no column in this outbox to be written to; Outbox::columns names it"
    );
    let outbox = with_columns(true, false);
    assert!(outbox.row(placed().topic("orders")).is_ok());
    assert!(outbox.row(Event::new("any thing", 1, "x").topic("orders")).is_ok());
    for topic in ["", ".", "..", "a b", "a\0"] {
        assert!(outbox.row(placed().topic(topic)).is_err(), "{topic:?}");
    }
}

#[test]
fn headers_that_the_relay_would_drop_are_refused() {
    for name in ["id", "type", "sequence", "outboxd-replay", "outboxd-"] {
        let error = refused(&Outbox::new(), placed().header(name, "x"));
        assert_eq!(
            error,
            format!("header {name:?} is one of the relay's own (id, type, sequence, outboxd-…)")
        );
    }
    assert!(Outbox::new().row(placed().header("Id", "x").header("", "")).is_ok());
    assert!(refused(&Outbox::new(), placed().header("a\0", "")).contains("NUL"));
    assert!(refused(&Outbox::new(), placed().header("a", "b\0")).contains("NUL"));
    let mapped = Outbox::new().columns(ColumnNames {
        content_type: Some("content_type".to_owned()),
        ..ColumnNames::default()
    });
    let error = refused(&mapped, placed().header("content_type", "x"));
    assert_eq!(error, "header \"content_type\" is that of a mapped column");
}

#[test]
fn a_table_without_headers_takes_events_without() {
    let debezium = Outbox::new()
        .columns(ColumnNames { headers: OptionalColumn::Off, ..ColumnNames::default() });
    assert_eq!(debezium.row(placed()).unwrap().cells.len(), 5);
    assert!(refused(&debezium, placed().header("a", "b")).contains("has no column"));
}

#[test]
fn keys_must_fit_their_columns() {
    let error = refused(&Outbox::new(), Event::new("Order", "secret\0", "x"));
    assert_eq!(error, "the aggregate id contains a NUL character");
    let uuids = Outbox::new().key_type(KeyType::Uuid);
    assert_eq!(
        refused(&uuids, Event::new("Order", 1, "x")),
        "the aggregate id is no UUID, and its column is uuid"
    );
    assert!(uuids.row(Event::new("Order", EventId::new(), "x")).is_ok());
    assert!(uuids.row(Event::without_key("Order", "x")).is_ok());
    let numbers = Outbox::new().key_type(KeyType::BigInt);
    assert!(numbers.row(Event::new("Order", i64::MIN, "x")).is_ok());
    assert!(numbers.row(Event::new("Order", u64::MAX, "x")).is_err());
    assert!(refused(&Outbox::new(), placed().partition_key(1)).contains("has no column"));
    assert!(with_columns(false, true).row(placed().partition_key(1)).is_ok());
    assert!(with_columns(false, true).row(placed().partition_key("\0")).is_err());
}

#[test]
fn text_without_nul() {
    let template = TopicRules { template: "all".to_owned(), ..TopicRules::default() };
    let outbox = Outbox::new().topics(template).unwrap();
    for (event, part) in
        [(Event::new("a\0", 1, "b"), "aggregate type"), (Event::new("a", 1, "b\0"), "event type")]
    {
        assert_eq!(refused(&outbox, event), format!("the {part} contains a NUL character"));
    }
}

#[test]
fn the_limit_is_that_of_the_whole_record() {
    let size = Outbox::new().row(placed().header("tenant", "acme")).unwrap().size;
    // Key and value; header names and values; the bookkeeping of a record and its four headers.
    let headers = "id".len() + 36 + "type".len() + 11 + "sequence".len() + 30 + "tenantacme".len();
    assert_eq!(size, "o-1".len() + 1 + headers + 36 + 4 * 6);
    let limited = Outbox::new().size_limit(size);
    assert!(limited.row(placed().header("tenant", "acme")).is_ok());
    let error = limited.row(placed().header("tenant", "acme+")).unwrap_err();
    let AppendError::TooLarge { size: found, limit } = error else { panic!("{error}") };
    assert_eq!((found, limit), (size + 1, size));
    // Printed by jsonb it is a thousand times as long.
    let long = placed().bytes("1e1000");
    assert!(limited.row(long).is_err());
    let big = |bytes| placed().json(&"x".repeat(bytes)).unwrap();
    assert!(Outbox::new().row(big(900 * 1024)).is_err());
    assert!(Outbox::new().row(big(899 * 1024)).is_ok());
}

#[test]
fn rows_are_written_in_statements_of_a_bounded_size() {
    let sizes = |rows: &[usize]| -> Vec<Vec<usize>> {
        let row = |&size: &usize| Row { id: EventId::new(), cells: Vec::new(), size };
        let rows: Vec<Row> = rows.iter().map(row).collect();
        statements(&rows).map(|rows| rows.iter().map(|row| row.size).collect()).collect()
    };
    const MAX: usize = STATEMENT_BYTES_MAX;
    assert!(sizes(&[]).is_empty());
    assert_eq!(sizes(&[1, 2, 3]), [[1, 2, 3]]);
    assert_eq!(sizes(&[MAX - 1, 1, 1, MAX]), [vec![MAX - 1, 1], vec![1], vec![MAX]]);
    assert_eq!(sizes(&[MAX + 1, MAX + 1]), [[MAX + 1], [MAX + 1]]);
}
