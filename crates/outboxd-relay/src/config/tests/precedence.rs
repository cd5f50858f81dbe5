//! Flags over environment over file over defaults; what derived values follow.

use std::time::Duration;

use super::super::{ByteSize, Compression, FormatMode, Listen, LogLevel, RelayHeader, TlsMode};
use super::Given;

#[test]
fn the_minimum_is_a_database_and_a_broker() {
    let config = Given::minimum().config();
    assert_eq!(config.source.database, "shop");
    assert_eq!(config.source.slot, "outboxd_shop");
    assert_eq!(config.source.name, "outboxd_shop");
    assert_eq!(config.delivery.progress.topic, "outboxd.progress.outboxd_shop");
    assert_eq!(config.source.tables, ["outbox.events"]);
    assert_eq!(config.source.tls.mode, TlsMode::Prefer);
    assert_eq!(config.kafka.bootstrap_servers, ["kafka:9092"]);
    assert_eq!(config.format.mode, FormatMode::Plain);
    assert_eq!(config.topic.template, "outbox.event.${aggregatetype}");
    assert!(!config.columns.headers.required);
}

#[test]
fn each_layer_wins_over_the_ones_below() {
    let given = Given::minimum();
    assert_eq!(given.config().log.level, LogLevel::Info);
    let given = given.file("[log]\nlevel = 'warn'\n[kafka]\ncompression = 'zstd'\n");
    assert_eq!(given.config().log.level, LogLevel::Warn);
    let given = given.variable("OUTBOXD_LOG__LEVEL", "debug");
    assert_eq!(given.config().log.level, LogLevel::Debug);
    let given = given.flag("--log-level", "log.level", "error");
    assert_eq!(given.config().log.level, LogLevel::Error);
    assert_eq!(given.config().kafka.compression, Compression::Zstd);
}

#[test]
fn database_url_stands_between_the_file_and_our_own_variable() {
    let given = Given::empty()
        .file("source.url = 'postgres://db/file'\nkafka.bootstrap_servers = ['a:1', 'b:2']")
        .variable("DATABASE_URL", "postgres://db/general");
    assert_eq!(given.config().source.database, "general");
    assert_eq!(given.config().kafka.bootstrap_servers, ["a:1", "b:2"]);
    let given = given.variable("OUTBOXD_SOURCE__URL", "postgres://db/own");
    assert_eq!(given.config().source.database, "own");
}

#[test]
fn the_environment_reaches_every_type_and_depth() {
    let config = Given::minimum()
        .variable("OUTBOXD_SOURCE__TABLES", "a.events, b.events")
        .variable("OUTBOXD_SOURCE__CREATE_SLOT", "true")
        .variable("OUTBOXD_DELIVERY__PROGRESS__REPLICATION_FACTOR", "3")
        .variable("OUTBOXD_DELIVERY__MAX_IN_FLIGHT_BYTES", "2MiB")
        .variable("OUTBOXD_KAFKA__LINGER", "7ms")
        .variable("OUTBOXD_KAFKA__PROPERTIES", "client.id=x, socket.keepalive.enable=true")
        .variable("OUTBOXD_TOPIC__MAP__ORDER", "orders")
        .variable("OUTBOXD_HTTP__LISTEN", "off")
        .config();
    assert_eq!(config.source.tables, ["a.events", "b.events"]);
    assert!(config.source.create_slot);
    assert_eq!(config.delivery.progress.replication_factor.map(u16::from), Some(3));
    assert_eq!(config.delivery.max_in_flight_bytes, ByteSize::mebibytes(2));
    assert_eq!(config.kafka.linger, Duration::from_millis(7));
    let properties = [("client.id", "x"), ("socket.keepalive.enable", "true")];
    assert!(config.kafka.properties.iter().eq(properties));
    assert_eq!(config.topic.map["order"], "orders");
    assert_eq!(config.http.listen, Listen::Off);
}

#[test]
fn foreign_and_empty_variables_are_left_alone() {
    let given = Given::minimum()
        .variable("OUTBOXD_PORT_8970_TCP", "tcp://10.0.0.1:8970")
        .variable("OUTBOXD_SANDBOX", "processes")
        .variable("OUTBOXD_KAFKA__COMPRESSION", "");
    assert_eq!(given.config().kafka.compression, Compression::Lz4);
}

#[test]
fn maps_of_layers_are_joined_and_dotted_names_put_together() {
    let config = Given::minimum()
        .file("[kafka.properties]\nsocket.timeout.ms = 5000\n'client.id' = 'x'\n")
        .variable("OUTBOXD_KAFKA__PROPERTIES__DEBUG", "broker")
        .config();
    let expected = [("client.id", "x"), ("debug", "broker"), ("socket.timeout.ms", "5000")];
    assert!(config.kafka.properties.iter().eq(expected));
}

#[test]
fn the_file_may_use_variables_but_a_template_has_its_own() {
    let config = Given::minimum()
        .variable("STAGE", "test")
        .file("[topic]\ntemplate = '${topic}'\nmap = { order = '${STAGE}.orders$$' }")
        .config();
    assert_eq!(config.topic.template, "${topic}");
    assert_eq!(config.topic.map["order"], "test.orders$");
}

#[test]
fn a_dollar_outside_the_file_is_a_dollar() {
    let given = Given::empty().variable("DATABASE_URL", "postgres://app:a$${b}@db/shop").flag(
        "--kafka",
        "kafka.bootstrap_servers",
        "kafka:9092",
    );
    let url = given.config().source.url.read().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&url), "postgres://app:a$${b}@db/shop");
}

#[test]
fn the_id_header_is_always_sent() {
    let given = Given::minimum().file("[headers]\ninclude = ['sequence']");
    assert_eq!(given.config().headers.include, [RelayHeader::Id, RelayHeader::Sequence]);
}

#[test]
fn tls_is_as_strict_as_can_be_checked_unless_said_otherwise() {
    let given = Given::minimum();
    let ca = given.path().join("ca.pem");
    std::fs::write(&ca, "").unwrap();
    let given = given.file(&format!("[source.tls]\nca = {:?}", ca.display().to_string()));
    assert_eq!(given.config().source.tls.mode, TlsMode::VerifyFull);
    let url = "postgres://db/shop?sslmode=verify-ca";
    let given = given.flag("--database-url", "source.url", url);
    assert_eq!(given.config().source.tls.mode, TlsMode::VerifyCa);
    let given = given.variable("OUTBOXD_SOURCE__TLS__MODE", "require");
    assert_eq!(given.config().source.tls.mode, TlsMode::Require);
}

#[test]
fn a_column_that_was_named_is_required() {
    let config = Given::minimum().file("[columns]\nheaders = 'headers'\nid = 'event_id'").config();
    assert!(config.columns.headers.required);
    assert!(!config.columns.created_at.required);
    assert_eq!(config.columns.id, "event_id");
}
