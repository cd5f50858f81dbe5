//! Logical messages: the same record as from a row.

use super::*;

const PREFIX: &str = "outbox";

fn mapper(config: MappingConfig) -> Mapper {
    let messages_prefix = Some(PREFIX.to_owned());
    Mapper::new(MappingConfig { messages_prefix, tables: Vec::new(), ..config }).unwrap()
}

/// As the function or the view writes it.
fn content(columns: &[Given<'_>]) -> String {
    let row = columns.iter().map(|&(name, _, value)| (name.to_owned(), value.into()));
    let row: serde_json::Map<_, serde_json::Value> = row.collect();
    let bytea = columns.iter().filter(|&&(_, oid, _)| oid == BYTEA).map(|&(name, ..)| name);
    let bytea: Vec<_> = bytea.collect();
    serde_json::json!({ "v": 1, "row": row, "bytea": bytea }).to_string()
}

fn message<'a>(prefix: &'a str, content: &'a str) -> LogicalMessage<'a> {
    let lsn = AT.at.commit_lsn;
    LogicalMessage { transactional: true, lsn, prefix, content: content.as_bytes() }
}

fn map_text(config: MappingConfig, content: &str) -> Result<Option<Owned>, MapError> {
    let mut mapper = mapper(config);
    let commit_time = PgTimestamp::from_unix_millis(COMMIT_MS);
    let written = Written::Message(message(PREFIX, content));
    Ok(mapper.map(written, AT.at, AT.epoch, commit_time)?.map(|mapped| owned(&mapped)))
}

#[test]
fn a_message_becomes_the_record_that_its_row_would() {
    let extra = vec![ExtraColumn { column: "trace".to_owned(), header: "trace".to_owned() }];
    let mapped = ColumnNames {
        topic: Some("target".to_owned()),
        partition_key: Some("aggregateid".to_owned()),
        schema_version: Some("version".to_owned()),
        extra,
        ..ColumnNames::default()
    };
    let headers = r#"{"a": "é\n", "n": 1.50, "id": "dropped"}"#;
    let rich = with(&[
        ("headers", JSONB, Some(headers)),
        ("created_at", TIMESTAMPTZ, Some("2026-11-21 11:12:17.5+00")),
        ("target", TEXT, Some("elsewhere")),
        ("version", 23, Some("12")),
        ("trace", BYTEA, Some(r"\x00ff")),
        ("another", TEXT, Some("column")),
    ]);
    let of_text = rich.iter().map(|&given| match given {
        ("trace", ..) => ("trace", BYTEA, Some(r"\x7472")),
        given => given,
    });
    let mapped = MappingConfig { columns: mapped, ..config() };
    for (config, columns) in [
        (config(), DEBEZIUM.to_vec()),
        (config(), replaced("payload", BYTEA, Some(r"\x00ff10"))),
        (config(), replaced("payload", TEXT, Some(r"\x00ff10"))),
        (config(), replaced("payload", JSONB, None)),
        (config(), replaced("aggregateid", VARCHAR, None)),
        (config(), with(&[("headers", JSONB, Some("{}")), ("created_at", TIMESTAMPTZ, None)])),
        (mapped, of_text.collect()),
    ] {
        let row = map(config.clone(), &columns).unwrap();
        assert_eq!(map_text(config, &content(&columns)).unwrap(), Some(row));
    }
}

#[test]
fn a_message_of_somebody_else_is_none() {
    let mut mapper = mapper(config());
    let written = Written::Message(message("somebody", "{}"));
    let commit_time = PgTimestamp::from_unix_millis(COMMIT_MS);
    assert!(mapper.map(written, AT.at, AT.epoch, commit_time).unwrap().is_none());
    assert!(!mapper.reads_messages("outbo") && !mapper.reads_messages("outbox2"));
    let off = Mapper::new(config()).unwrap();
    assert!(!off.reads_messages(PREFIX));
}

#[test]
fn what_cannot_be_read_is_an_error_of_the_record_that_names_it() {
    for (content, key, message) in [
        ("garbage", None, "is not JSON"),
        (r#"{"v":3,"row":{}}"#, None, "is of version 3"),
        (
            r#"{"v":1,"row":{"aggregateid":"k","id":"1f"}}"#,
            Some("k"),
            "has no column \"aggregatetype\"",
        ),
    ] {
        let Err(MapError::Record(error)) = map_text(config(), content) else { panic!("{content}") };
        assert_eq!(error.kind, RecordErrorKind::InvalidRecord);
        assert_eq!(error.key.as_deref(), key.map(str::as_bytes));
        assert!(error.message.contains(message), "{error}");
        assert!(error.message.starts_with("a message with prefix \"outbox\" "), "{error}");
    }
    let null = content(&replaced("type", VARCHAR, None));
    let Err(MapError::Record(error)) = map_text(config(), &null) else { panic!("{null}") };
    assert_eq!(error.message, "column \"type\" is null");
    assert_eq!(error.event_id.as_deref(), Some(ID));
}

#[test]
fn a_message_that_was_cut_off_is_named_by_what_was_kept() {
    let mut mapper = mapper(config());
    let whole = content(&replaced("payload", TEXT, Some("é".repeat(50).as_str())));
    // Members of an object are sorted here: the payload stands before the type.
    let cut = whole.find("\"type\"").unwrap();
    let end = whole.rfind("\"OrderPlaced\"").unwrap() + "\"OrderPlaced\"".len();
    for (head, topic) in [(cut, None), (end, Some("outbox.event.Order"))] {
        let error = mapper.describe_message_prefix(&message(PREFIX, &whole[..head])).unwrap();
        assert_eq!(error.kind, RecordErrorKind::RecordTooLarge);
        assert_eq!(error.event_id.as_deref(), Some(ID));
        assert_eq!(error.key.as_deref(), Some(&b"order-1"[..]));
        assert_eq!(error.topic.as_deref(), topic);
    }
    // In the middle of a character.
    let inside = whole.find('é').unwrap() + 1;
    let head = &whole.as_bytes()[..inside];
    let error = mapper
        .describe_message_prefix(&LogicalMessage { content: head, ..message(PREFIX, "") })
        .unwrap();
    assert_eq!(error.event_id.as_deref(), Some(ID));
    assert_eq!(mapper.describe_message_prefix(&message("somebody", &whole)), None);
}

#[test]
fn there_has_to_be_something_to_read() {
    let nothing = MappingConfig { tables: Vec::new(), ..config() };
    assert_eq!(Mapper::new(nothing).unwrap_err(), MappingConfigError::NoTables);
    for prefix in ["", "a\0b"] {
        let config = MappingConfig { messages_prefix: Some(prefix.to_owned()), ..config() };
        assert_eq!(Mapper::new(config).unwrap_err(), MappingConfigError::UnusablePrefix);
    }
}
