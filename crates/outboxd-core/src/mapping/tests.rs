mod messages;

use super::*;
use crate::encode;
use crate::lsn::Lsn;
use crate::pgoutput::{Column, Message};
use crate::relation::{ExtraColumn, OptionalColumn};

const EVENTS: RelationId = RelationId(16_400);
const UUID: u32 = 2950;
const VARCHAR: u32 = 1043;
const TEXT: u32 = 25;
const BYTEA: u32 = 17;
const JSONB: u32 = 3802;
const TIMESTAMPTZ: u32 = 1184;

const ID: &str = "0197f3a0-1111-7000-8000-000000000001";
const COMMIT_MS: i64 = 1_795_259_537_000;
const AT: Sequence =
    Sequence { epoch: 1, at: Identity { commit_lsn: Lsn::new(0x16B_3748), ordinal: 2 } };

/// A column of the test table: name, type, value of the row.
type Given<'a> = (&'a str, u32, Option<&'a str>);

const DEBEZIUM: [Given<'_>; 5] = [
    ("id", UUID, Some(ID)),
    ("aggregatetype", VARCHAR, Some("Order")),
    ("aggregateid", VARCHAR, Some("order-1")),
    ("type", VARCHAR, Some("OrderPlaced")),
    ("payload", JSONB, Some(r#"{"total": 1.10, "items": ["a"]}"#)),
];

fn config() -> MappingConfig {
    MappingConfig { tables: vec![TableName::new("outbox", "events")], ..MappingConfig::default() }
}

fn with<'a>(columns: &[Given<'a>]) -> Vec<Given<'a>> {
    [&DEBEZIUM[..], columns].concat()
}

/// The five columns, with another value in one of them.
fn replaced<'a>(column: &str, oid: u32, value: Option<&'a str>) -> Vec<Given<'a>> {
    let replace =
        |&given: &Given<'a>| if given.0 == column { (given.0, oid, value) } else { given };
    DEBEZIUM.iter().map(replace).collect()
}

fn relation<'a>(columns: &[Given<'a>]) -> Relation<'a> {
    let column = |&(name, type_oid, _): &Given<'a>| Column {
        is_key: false,
        name,
        type_oid,
        type_modifier: -1,
    };
    Relation {
        id: EVENTS,
        namespace: "outbox",
        name: "events",
        replica_identity: b'd',
        columns: columns.iter().map(column).collect(),
    }
}

fn cells<'a>(columns: &[Given<'a>]) -> Vec<Cell<'a>> {
    let cell =
        |value: Option<&'a str>| value.map_or(Cell::Null, |text| Cell::Text(text.as_bytes()));
    columns.iter().map(|&(_, _, value)| cell(value)).collect()
}

fn announced(config: MappingConfig, columns: &[Given<'_>]) -> Mapper {
    let mut mapper = Mapper::new(config).unwrap();
    mapper.announce(&relation(columns)).unwrap();
    mapper
}

/// What was mapped, without its borrows.
#[derive(Debug, PartialEq)]
struct Owned {
    topic: String,
    partition_key: Option<String>,
    key: Option<String>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    timestamp_ms: i64,
    dropped: Vec<String>,
}

fn map(config: MappingConfig, columns: &[Given<'_>]) -> Result<Owned, MapError> {
    let mut mapper = announced(config, columns);
    let commit_time = PgTimestamp::from_unix_millis(COMMIT_MS);
    let cells = cells(columns);
    let mapped = mapper.map_cells(EVENTS, &cells.iter().copied(), AT, commit_time)?.unwrap();
    Ok(owned(&mapped))
}

fn owned(mapped: &Mapped<'_>) -> Owned {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(mapped.event_id, ID);
    Owned {
        topic: mapped.topic.to_owned(),
        partition_key: mapped.partition_key.map(text),
        key: mapped.key.map(text),
        value: mapped.value.map(<[u8]>::to_vec),
        headers: mapped
            .headers
            .iter()
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect(),
        timestamp_ms: mapped.timestamp_ms,
        dropped: mapped.dropped_headers.iter().map(ToString::to_string).collect(),
    }
}

fn refused(config: MappingConfig, columns: &[Given<'_>]) -> RecordError {
    match map(config, columns) {
        Err(MapError::Record(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn own_headers() -> Vec<(String, String)> {
    vec![
        pair("id", ID),
        pair("type", "OrderPlaced"),
        pair("sequence", "0001-00000000016B3748-00000002"),
    ]
}

#[test]
fn debeziums_five_columns_work_by_naming_the_table_alone() {
    let mapped = map(config(), &DEBEZIUM).unwrap();
    let expected = Owned {
        topic: "outbox.event.Order".to_owned(),
        partition_key: Some("order-1".to_owned()),
        key: Some("order-1".to_owned()),
        value: Some(br#"{"total": 1.10, "items": ["a"]}"#.to_vec()),
        headers: own_headers(),
        timestamp_ms: COMMIT_MS,
        dropped: Vec::new(),
    };
    assert_eq!(mapped, expected);
}

#[test]
fn an_insert_is_mapped_as_it_comes_from_the_stream() {
    let frame = encode::insert(EVENTS, &cells(&DEBEZIUM));
    let Message::Insert(insert) = Message::decode(&frame).unwrap() else { panic!() };
    let mut mapper = announced(config(), &DEBEZIUM);
    let commit_time = PgTimestamp::from_unix_millis(COMMIT_MS);
    let mapped = mapper.map(Written::Row(insert), AT.at, AT.epoch, commit_time).unwrap().unwrap();
    assert_eq!((mapped.event_id, mapped.topic), (ID, "outbox.event.Order"));
    assert_eq!(mapped.key, Some(&b"order-1"[..]));
    assert_eq!(mapped.partition(12), 10);
}

#[test]
fn the_whole_contract_in_one_row() {
    let columns = with(&[
        ("headers", JSONB, Some(r#"{"traceparent": "00-4b", "retries": 2, "id": "forged"}"#)),
        ("created_at", TIMESTAMPTZ, Some("2026-11-21 11:12:18.5+00")),
    ]);
    let mapped = map(config(), &columns).unwrap();
    let mut headers = own_headers();
    headers.extend([pair("traceparent", "00-4b"), pair("retries", "2")]);
    assert_eq!(mapped.headers, headers);
    assert_eq!(mapped.timestamp_ms, 1_795_259_538_500);
    assert_eq!(mapped.dropped, ["id"]);
}

#[test]
fn values_are_byte_exact() {
    let spaced = "{\"b\":1,   \"a\": \"\\u00fc\" ,\"b\":2 }\n";
    for (oid, text) in [(JSONB, "{\"a\": 1.10}"), (114, spaced), (TEXT, " ü\t"), (VARCHAR, r"\x00")]
    {
        let mapped = map(config(), &replaced("payload", oid, Some(text))).unwrap();
        assert_eq!(mapped.value.unwrap(), text.as_bytes(), "{oid}");
    }
    let mapped = map(config(), &replaced("payload", BYTEA, Some(r"\x00ff7b"))).unwrap();
    assert_eq!(mapped.value.unwrap(), [0x00, 0xff, 0x7b]);
    let mapped = map(config(), &replaced("payload", BYTEA, Some(r"\x"))).unwrap();
    assert_eq!(mapped.value.unwrap(), b"");
}

#[test]
fn a_null_payload_is_a_tombstone_and_a_null_aggregateid_no_key() {
    assert_eq!(map(config(), &replaced("payload", JSONB, None)).unwrap().value, None);
    let mapped = map(config(), &replaced("aggregateid", VARCHAR, None)).unwrap();
    assert_eq!((mapped.key, mapped.partition_key), (None, None));
}

#[test]
fn mapped_columns_choose_topic_partition_and_headers() {
    let mapped_to = |name: &str| Some(name.to_owned());
    let extra = |column: &str, header: &str| ExtraColumn {
        column: column.to_owned(),
        header: header.to_owned(),
    };
    let columns = ColumnNames {
        topic: mapped_to("destination"),
        partition_key: mapped_to("tenant"),
        schema_version: mapped_to("version"),
        content_type: mapped_to("mime"),
        extra: vec![extra("raw", "raw"), extra("tenant", "tenant-id"), extra("nothing", "nothing")],
        ..ColumnNames::default()
    };
    let given = with(&[
        ("destination", TEXT, Some("orders")),
        ("tenant", 20, Some("42")),
        ("version", 23, Some("3")),
        ("mime", TEXT, Some("application/json")),
        ("raw", BYTEA, Some(r"\x6869")),
        ("nothing", TEXT, None),
        ("headers", JSONB, Some(r#"{"tenant-id": "forged", "nothing": "forged"}"#)),
    ]);
    let mapped = map(MappingConfig { columns, ..config() }, &given).unwrap();
    assert_eq!(mapped.topic, "orders");
    assert_eq!(mapped.key.as_deref(), Some("order-1"));
    assert_eq!(mapped.partition_key.as_deref(), Some("42"));
    let mut headers = own_headers();
    headers.extend([
        pair("schema_version", "3"),
        pair("content_type", "application/json"),
        pair("raw", "hi"),
        pair("tenant-id", "42"),
    ]);
    assert_eq!(mapped.headers, headers);
    assert_eq!(mapped.dropped, ["tenant-id", "nothing"]);
}

/// The older shape: a topic in each row, and of the rest only what is needed.
#[test]
fn a_table_without_aggregates_names_topics_and_perhaps_keys() {
    let if_present = |name: &str| OptionalColumn::IfPresent(name.to_owned());
    let columns = ColumnNames {
        aggregate_type: if_present("aggregatetype"),
        aggregate_id: if_present("key"),
        event_type: if_present("type"),
        topic: Some("topic".to_owned()),
        ..ColumnNames::default()
    };
    let config = MappingConfig { columns, ..config() };
    let payload = ("payload", BYTEA, Some(r"\x00ff"));
    let bare = [("id", UUID, Some(ID)), payload, ("topic", TEXT, Some("orders"))];
    let mapped = map(config.clone(), &bare).unwrap();
    assert_eq!((mapped.topic.as_str(), mapped.key), ("orders", None));
    assert_eq!(mapped.value.as_deref(), Some(&[0x00, 0xff][..]));
    let own = own_headers().into_iter().filter(|(name, _)| name != "type");
    assert_eq!(mapped.headers, own.collect::<Vec<_>>());

    let rich = [&bare[..], &[("key", TEXT, Some("k")), ("type", TEXT, Some("OrderPlaced"))]];
    let mapped = map(config.clone(), &rich.concat()).unwrap();
    assert_eq!((mapped.key.as_deref(), mapped.partition_key.as_deref()), (Some("k"), Some("k")));
    assert_eq!(mapped.headers, own_headers());
    let null = [&bare[..], &[("type", TEXT, None)]].concat();
    assert_eq!(map(config.clone(), &null).unwrap().headers.len(), 2);

    let nowhere = [("id", UUID, Some(ID)), payload, ("topic", TEXT, None)];
    let error = refused(config, &nowhere);
    assert_eq!((error.kind, error.topic), (RecordErrorKind::InvalidTopic, None));
    assert!(error.message.contains("topic.template needs its aggregatetype"), "{}", error.message);
}

#[test]
fn null_in_a_mapped_column_falls_back() {
    let columns = ColumnNames {
        topic: Some("destination".to_owned()),
        partition_key: Some("tenant".to_owned()),
        schema_version: Some("version".to_owned()),
        ..ColumnNames::default()
    };
    let given = with(&[
        ("destination", TEXT, None),
        ("tenant", TEXT, None),
        ("version", TEXT, None),
        ("created_at", TIMESTAMPTZ, None),
        ("headers", JSONB, None),
    ]);
    let mapped = map(MappingConfig { columns, ..config() }, &given).unwrap();
    assert_eq!(mapped.topic, "outbox.event.Order");
    assert_eq!(mapped.partition_key.as_deref(), Some("order-1"));
    assert_eq!(mapped.headers, own_headers());
    assert_eq!(mapped.timestamp_ms, COMMIT_MS);
}

#[test]
fn the_relays_names_are_kept_from_rows_even_when_it_does_not_send_them() {
    let headers = HeaderChoice { event_type: false, sequence: false };
    let object = r#"{"type": "x", "sequence": "y", "outboxd-replay": "true", "Type": "z"}"#;
    let given = with(&[("headers", JSONB, Some(object))]);
    let mapped = map(MappingConfig { headers, ..config() }, &given).unwrap();
    assert_eq!(mapped.headers, [pair("id", ID), pair("Type", "z")]);
    assert_eq!(mapped.dropped, ["type", "sequence", "outboxd-replay"]);
}

#[test]
fn an_error_names_event_topic_and_key() {
    let bad_headers = with(&[("headers", JSONB, Some("[1]"))]);
    let error = refused(config(), &bad_headers);
    let expected = RecordError {
        kind: RecordErrorKind::InvalidHeaders,
        event_id: Some(ID.to_owned()),
        topic: Some("outbox.event.Order".to_owned()),
        key: Some(b"order-1".to_vec()),
        message: "column \"headers\" is not a JSON object".to_owned(),
    };
    assert_eq!(error, expected);
}

#[test]
fn each_way_to_be_no_event_has_its_kind() {
    use RecordErrorKind::{InvalidHeaders, InvalidRecord, InvalidTimestamp, InvalidTopic};
    let at = |text| with(&[("created_at", TIMESTAMPTZ, Some(text))]);
    for (given, kind, message) in [
        (replaced("type", VARCHAR, None), InvalidRecord, r#"column "type" is null"#),
        (
            replaced("payload", BYTEA, Some("plain")),
            InvalidRecord,
            r#"column "payload" is not bytea in hex form"#,
        ),
        (
            replaced("aggregatetype", VARCHAR, Some("a b")),
            InvalidTopic,
            r#"topic "outbox.event.a b" contains ' '"#,
        ),
        (
            at("infinity"),
            InvalidTimestamp,
            r#"column "created_at" is infinite, which is no Kafka timestamp"#,
        ),
        (
            with(&[("headers", 114, Some(r#"{"a\u0000": 1}"#))]),
            InvalidHeaders,
            r#"column "headers" is not an object of headers: a name contains a NUL character"#,
        ),
    ] {
        let error = refused(config(), &given);
        assert_eq!(error.kind, kind);
        assert!(error.message.starts_with(message), "{}", error.message);
        assert_eq!(error.event_id.as_deref(), Some(ID));
    }
}

#[test]
fn buffers_do_not_leak_from_row_to_row() {
    let columns = with(&[("headers", JSONB, None)]);
    let mut mapper = announced(config(), &columns);
    let mut first = cells(&columns);
    first[1] = Cell::Text(b"AVeryLongAggregateType");
    first[5] = Cell::Text(br#"{"only": "first"}"#);
    let commit_time = PgTimestamp::from_unix_millis(COMMIT_MS);
    mapper.map_cells(EVENTS, &first.iter().copied(), AT, commit_time).unwrap().unwrap();
    let second = cells(&columns);
    let mapped =
        mapper.map_cells(EVENTS, &second.iter().copied(), AT, commit_time).unwrap().unwrap();
    assert_eq!(mapped.topic, "outbox.event.Order");
    assert_eq!(mapped.headers.len(), 3);
}

#[test]
fn rows_of_other_tables_are_nothing_and_of_unknown_ones_an_error() {
    let mut mapper = announced(config(), &DEBEZIUM);
    let other = Relation { id: RelationId(7), name: "orders", ..relation(&[("n", 23, None)]) };
    mapper.announce(&other).unwrap();
    let time = PgTimestamp::default();
    assert!(
        mapper.map_cells(RelationId(7), &[Cell::Null].into_iter(), AT, time).unwrap().is_none()
    );
    let unknown = mapper.map_cells(RelationId(8), &[Cell::Null].into_iter(), AT, time).unwrap_err();
    assert!(matches!(unknown, MapError::UnknownRelation(_)));
    mapper.reset();
    let known = cells(&DEBEZIUM);
    assert!(mapper.map_cells(EVENTS, &known.iter().copied(), AT, time).is_err());
}

#[test]
fn a_row_that_does_not_fit_its_announcement_is_not_an_event() {
    let mut mapper = announced(config(), &DEBEZIUM);
    let short = mapper.map_cells(EVENTS, &[Cell::Null].into_iter(), AT, PgTimestamp::default());
    assert!(matches!(short.unwrap_err(), MapError::Row(_)));
}

#[test]
fn columns_added_and_moved_between_rows_are_followed() {
    let mut mapper = announced(config(), &DEBEZIUM);
    let mut altered = with(&[("headers", JSONB, Some(r#"{"a": "b"}"#)), ("note", TEXT, None)]);
    altered.rotate_left(3);
    mapper.announce(&relation(&altered)).unwrap();
    let cells = cells(&altered);
    let mapped = mapper
        .map_cells(EVENTS, &cells.iter().copied(), AT, PgTimestamp::default())
        .unwrap()
        .unwrap();
    assert_eq!((mapped.event_id, mapped.topic), (ID, "outbox.event.Order"));
    assert_eq!(mapped.headers.iter().last(), Some(("a", &b"b"[..])));
}

#[test]
fn a_row_too_large_to_keep_is_named_as_far_as_it_was_read() {
    let mapper = announced(config(), &DEBEZIUM);
    let cells = cells(&DEBEZIUM);
    let error = mapper.describe_prefix(EVENTS, &cells[..4]).unwrap().unwrap();
    assert_eq!(error.kind, RecordErrorKind::RecordTooLarge);
    assert_eq!(error.event_id.as_deref(), Some(ID));
    assert_eq!(error.topic.as_deref(), Some("outbox.event.Order"));
    assert_eq!(error.key.as_deref(), Some(&b"order-1"[..]));
    assert_eq!(error.message, "a row of outbox.events is larger than max_row_bytes");
    let error = mapper.describe_prefix(EVENTS, &cells[..2]).unwrap().unwrap();
    assert_eq!((error.event_id.as_deref(), error.topic, error.key), (Some(ID), None, None));
    assert!(mapper.describe_prefix(RelationId(8), &[]).is_err());
}

#[test]
fn a_topic_column_behind_the_large_one_leaves_the_topic_open() {
    let columns = ColumnNames { topic: Some("destination".to_owned()), ..ColumnNames::default() };
    let given = with(&[("destination", TEXT, Some("orders"))]);
    let mapper = announced(MappingConfig { columns, ..config() }, &given);
    let error = mapper.describe_prefix(EVENTS, &cells(&given)[..4]).unwrap().unwrap();
    assert_eq!(error.topic, None);
}

#[test]
fn a_mapping_that_cannot_work_is_refused() {
    let refused = |config: MappingConfig| Mapper::new(config).unwrap_err().to_string();
    let tables = Vec::new();
    assert!(refused(MappingConfig { tables, ..config() }).starts_with("source.tables is empty"));
    let extra = |headers: &[&str]| {
        let extra =
            |&header: &&str| ExtraColumn { column: "c".to_owned(), header: header.to_owned() };
        let extra = headers.iter().map(extra).collect();
        let schema_version = Some("version".to_owned());
        let columns = ColumnNames { extra, schema_version, ..ColumnNames::default() };
        refused(MappingConfig { columns, ..config() })
    };
    assert!(extra(&["type"]).contains("one of the relay's own"));
    assert!(extra(&["outboxd-x"]).contains("one of the relay's own"));
    assert!(extra(&["a", "a"]).contains("given twice"));
    assert!(extra(&["schema_version"]).contains("given twice"));
    assert!(extra(&["a\0b"]).contains("NUL"));
    let topics = TopicRules { template: "${route}".to_owned(), ..TopicRules::default() };
    let message = refused(MappingConfig { topics, ..config() });
    assert!(message.starts_with("topic.template: unknown variable ${route}"), "{message}");
}

#[test]
fn a_renamed_optional_column_is_used() {
    let columns = ColumnNames {
        headers: OptionalColumn::Named("meta".to_owned()),
        created_at: OptionalColumn::Off,
        ..ColumnNames::default()
    };
    let given = with(&[
        ("meta", JSONB, Some(r#"{"a": "b"}"#)),
        ("headers", JSONB, Some(r#"{"c": "d"}"#)),
        ("created_at", TIMESTAMPTZ, Some("2026-11-21 11:12:18.5+00")),
    ]);
    let mapped = map(MappingConfig { columns, ..config() }, &given).unwrap();
    assert_eq!(mapped.headers.last(), Some(&pair("a", "b")));
    assert_eq!(mapped.timestamp_ms, COMMIT_MS);
}
