//! What is refused, and what is said about it.

use super::super::problem;
use super::Given;

/// The stop for one line of a file, or for what is missing.
fn stop(file: &str) -> String {
    Given::minimum().file(file).stop()
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    let typo = "error[config]: unknown key `kafka.compresion`\n\
                detail: file outboxd.toml:3\nhint: did you mean `kafka.compression`?";
    assert_eq!(stop("[kafka]\nlinger = '1ms'\ncompresion = 'lz4'"), typo);
    let nested = "error[config]: unknown key `kafka.security.sasl.user`\n\
                  detail: file outboxd.toml:1\nhint: did you mean `kafka.security.sasl.username`?";
    assert_eq!(stop("kafka.security.sasl.user = 'x'"), nested);
}

#[test]
fn a_key_in_the_wrong_section_is_found() {
    let stop = stop("[kafka]\nslot = 'x'");
    assert!(stop.ends_with("hint: did you mean `source.slot`?"), "{stop}");
}

#[test]
fn an_unknown_section_is_named_once() {
    let stop = stop("[kafak]\nlinger = '1ms'\ncompression = 'lz4'");
    assert!(stop.starts_with("error[config]: unknown section `kafak`\n"), "{stop}");
    assert!(stop.ends_with("detail: file outboxd.toml:3\nhint: did you mean `kafka`?"), "{stop}");
}

#[test]
fn an_unknown_variable_is_named_with_the_right_one() {
    let given = Given::minimum().variable("OUTBOXD_KAFKA__BOOTSTRAP_SERVER", "x:1");
    let expected = "error[config]: unknown key `kafka.bootstrap_server`\n\
                    detail: environment variable OUTBOXD_KAFKA__BOOTSTRAP_SERVER\n\
                    hint: did you mean `kafka.bootstrap_servers` (OUTBOXD_KAFKA__BOOTSTRAP_SERVERS)?";
    assert_eq!(given.stop(), expected);
    let given = Given::minimum().variable("OUTBOXD_KAFKA_LINGER", "1ms");
    assert!(given.stop().contains("did you mean OUTBOXD_KAFKA__LINGER"), "{}", given.stop());
}

#[test]
fn every_problem_is_named_at_once() {
    let stop = stop("[source]\nslto = 'x'\nfailover = 7\n[kafka]\nlinger = 5\n");
    let expected = "error[config]: the configuration has 3 problems\n\
        detail: `source.failover` must be true or false, not 7 (file outboxd.toml:3)\n\
        `kafka.linger` must be a duration such as \"10s\" or \"100ms\", not 5 (file outboxd.toml:5)\n\
        unknown key `source.slto` (file outboxd.toml:2); did you mean `source.slot`?";
    assert_eq!(stop, expected);
}

#[test]
fn values_of_the_wrong_kind_or_range_are_refused() {
    for (line, must) in [
        ("source.tables = 5", "must be a list"),
        ("source.tables = []", "is empty"),
        ("source.messages_prefix = ''", "must be text, not empty"),
        ("source.slot = 'Shop'", "not a legal slot name"),
        ("source.wal_sender_timeout = '999ms'", "at least 1s"),
        ("source.release_after = '0s'", "at least 1s"),
        ("source.max_row_bytes = '64mb'", "must be a size"),
        ("source.max_row_bytes = 64", "must be a size"),
        ("source.allow_auth = ['trust']", "each item one of \"md5\", \"cleartext\""),
        ("source.tls.cert = '/dev/null'", "belong together"),
        ("source.url = ''", "must be text"),
        ("source.tls = 'require'", "is a section"),
        ("columns.id = ''", "must be text, not empty"),
        ("columns.extra = [{ column = 'a', to = 'b' }]", "column ="),
        ("topic.partitions = 0", "from 1 to"),
        ("topic.map = 'x'", "must be a table"),
        ("headers.include = ['id', 'kind']", "\"sequence\""),
        ("delivery.max_in_flight_events = 0", "from 1 to"),
        ("delivery.max_unrecorded_events = -1", "from 1 to"),
        ("delivery.max_in_flight_bytes = '0B'", "more than 0B"),
        ("delivery.progress_interval = '0s'", "at least 1ms"),
        ("delivery.progress.topic = 'a b'", "not a legal topic name"),
        ("errors.backoff = '30s..1s'", "100ms..30s"),
        ("retention.rotate_every = '999ms'", "at least 1s"),
        ("retention.rotate_every = 60", "must be a duration"),
        (
            "source.tables = []\nsource.messages_prefix = 'outbox'\nretention.rotate_every = '1h'",
            "there is no table to rotate",
        ),
        ("columns.preset = 'mine'", "one of \"debezium\", \"outbox_messages\""),
        ("http.listen = 'localhost'", "must be an address"),
        ("log.level = 'loud'", "must be one of"),
        ("kafka.bootstrap_servers = 'http://kafka:9092'", "host:port"),
        ("kafka.properties.'sasl.password' = 'x'", "kafka.properties"),
        ("kafka.security.sasl.username = 'x'", "the protocol has no login"),
        ("kafka.security.protocol = 'SASL_SSL'", "needs `mechanism`"),
        ("kafka.security.tls.ca = '/none'", "not encrypted"),
        ("kafka.linger = '${NONE}'", "NONE is not set"),
    ] {
        // The file's value has to be the one that counts.
        let given = Given::empty().file(line);
        let given = match line.starts_with("source.url") {
            true => given,
            false => given.variable("DATABASE_URL", "postgres://db/shop"),
        };
        let given = match line.starts_with("kafka.bootstrap") {
            true => given,
            false => given.variable("OUTBOXD_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092"),
        };
        let stop = given.stop();
        assert!(stop.contains(must), "{line}: {stop}");
    }
}

#[test]
fn what_comes_later_is_refused_with_what_to_do() {
    for (line, hint) in [
        ("delivery.progress.store = 'slot'", "set it to \"kafka\""),
        ("format.mode = 'cloudevents'", "set it to \"plain\""),
    ] {
        let stop = stop(line);
        assert!(stop.contains("is not in this version yet"), "{stop}");
        assert!(stop.contains(hint), "{stop}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let expected = "error[config]: the configuration has 2 problems\n\
        detail: no database is given (`source.url`); set --database-url, DATABASE_URL, or `url` \
        under [source]\n\
        no Kafka is given (`kafka.bootstrap_servers`); set --kafka, or `bootstrap_servers` under \
        [kafka]";
    assert_eq!(Given::empty().stop(), expected);
}

#[test]
fn an_absent_file_is_named() {
    let mut given = Given::minimum();
    given.inputs.file = Some(given.path().join("none.toml"));
    let stop = given.stop();
    assert!(stop.contains("cannot read the configuration file none.toml"), "{stop}");
}

#[test]
fn no_problem_is_no_stop() {
    assert_eq!(problem::stop(&[]), None);
}
