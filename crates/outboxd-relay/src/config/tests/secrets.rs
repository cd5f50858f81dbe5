//! Secrets: where they may come from, and that they show up nowhere.

use std::fs;

use secrecy::ExposeSecret;

use super::super::{Effective, Secret};
use super::Given;

const SECURITY: &str = "
[kafka.security]
protocol = 'SASL_SSL'
[kafka.security.sasl]
mechanism = 'SCRAM-SHA-512'
username = 'relay'
";

#[test]
fn a_secret_file_is_read_again_after_a_change() {
    let given = Given::minimum();
    let path = given.path().join("password");
    fs::write(&path, "first\n").unwrap();
    let key = "OUTBOXD_KAFKA__SECURITY__SASL__PASSWORD_FILE";
    let given = given.file(SECURITY).variable(key, &path.display().to_string());
    let password = given.config().kafka.security.sasl.unwrap().password;
    assert_eq!(password.read().unwrap().expose_secret(), "first");
    fs::write(&path, "second\n").unwrap();
    assert_eq!(password.read().unwrap().expose_secret(), "second");
}

#[test]
fn the_higher_layer_decides_between_a_secret_and_its_file() {
    let given = Given::empty().flag("--kafka", "kafka.bootstrap_servers", "kafka:9092");
    let path = given.path().join("url");
    fs::write(&path, "postgres://db/from_file").unwrap();
    let given = given.file(&format!("[source]\nurl_file = {:?}", path.display().to_string()));
    assert_eq!(given.config().source.database, "from_file");
    assert!(matches!(given.config().source.url, Secret::File(_)));
    let given = given.variable("DATABASE_URL", "postgres://db/general");
    assert_eq!(given.config().source.database, "general");
    let given = given.variable("OUTBOXD_SOURCE__URL_FILE", &path.display().to_string());
    let both = "error[config]: both `source.url` and `source.url_file` are given\n\
                detail: environment variable DATABASE_URL\nhint: keep one of the two";
    assert_eq!(given.stop(), both);
}

#[test]
fn debug_and_print_show_no_secret() {
    let given = Given::minimum()
        .file(SECURITY)
        .variable("OUTBOXD_KAFKA__SECURITY__SASL__PASSWORD", "hunter2")
        .variable("OUTBOXD_KAFKA__SECURITY__TLS__KEY_PASSWORD", "hunter2")
        .variable("OUTBOXD_SOURCE__REPLICATION_URL", "postgres://stream:hunter2@db/shop")
        .variable("OUTBOXD_KAFKA__PROPERTIES", "ssl.keystore.password=hunter2");
    let config = given.config();
    assert_eq!(config.source.replication_url.read().unwrap().expose_secret().len(), 33);
    assert!(!format!("{config:?}").contains("hunter2"));
    let printed = given.printed();
    assert!(!printed.contains("hunter2"));
    assert!(printed.contains("url = \"postgres://app:***@db/shop\" # flag --database-url"));
    assert!(printed.contains("password = \"***\" # environment variable"));
}

#[test]
fn a_problem_shows_no_secret() {
    for (key, value) in [
        ("OUTBOXD_SOURCE__URL", "mysql://app:hunter2@db"),
        ("OUTBOXD_SOURCE__REPLICATION_URL", "hunter2"),
        ("OUTBOXD_KAFKA__PROPERTIES", "hunter2"),
        ("OUTBOXD_KAFKA__PROPERTIES", "sasl.password=hunter2"),
        ("OUTBOXD_KAFKA__SECURITY__SASL__PASSWRD", "hunter2"),
    ] {
        let given = Given::empty()
            .flag("--kafka", "kafka.bootstrap_servers", "kafka:9092")
            .variable("DATABASE_URL", "postgres://db/shop")
            .variable(key, value);
        assert!(!given.stop().contains("hunter2"), "{key}: {}", given.stop());
    }
}

#[test]
fn a_parse_error_does_not_quote_the_file() {
    let given = Given::minimum().file("[kafka.security.sasl]\npassword = \"hunter2\n");
    assert!(given.stop().contains("line 2, column"));
    assert!(!given.stop().contains("hunter2"));
}

#[test]
fn an_absent_secret_file_stops_a_run_but_not_a_print() {
    let given = Given::minimum();
    let path = given.path().join("none");
    let given = given
        .file(SECURITY)
        .variable("OUTBOXD_KAFKA__SECURITY__SASL__PASSWORD_FILE", &path.display().to_string());
    assert!(given.stop().contains("cannot read the secret in none"), "{}", given.stop());
    assert!(given.printed().contains("password_file = \"none\" #"));
    assert!(Effective::read(&given.inputs).is_ok());
}
