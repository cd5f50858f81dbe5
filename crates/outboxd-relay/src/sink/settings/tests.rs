use super::*;
use crate::config::Secret;

fn with_property(property: &str, value: &str) -> KafkaSettings {
    let mut settings = KafkaSettings::plaintext("localhost:9092");
    settings.properties.insert(property.to_owned(), value.to_owned());
    settings
}

fn with_login(mechanism: SaslMechanism) -> KafkaSettings {
    let mut settings = KafkaSettings::plaintext("localhost:9092");
    settings.security.protocol = SecurityProtocol::SaslPlaintext;
    let (username, password) = ("relay".to_owned(), Secret::Value("swordfish".into()));
    settings.security.login = Some(SaslLogin { mechanism, username, password });
    settings
}

#[test]
fn every_fixed_property_is_refused_from_the_operator() {
    for (property, value) in fixed::PRODUCER {
        // Only counts and prints.
        if *property == "statistics.interval.ms" {
            continue;
        }
        let refused = with_property(property, value).check();
        assert!(
            matches!(&refused, Err(SettingsError::Refused { property: named, .. }) if named == property),
            "{property}: {refused:?}"
        );
    }
}

#[test]
fn aliases_are_no_way_around() {
    let aliases = [
        "request.required.acks",
        "delivery.timeout.ms",
        "retries",
        "message.send.max.retries",
        "max.in.flight",
        "queue.buffering.max.ms",
        "metadata.broker.list",
        "transactional.id",
        "partitioner",
        "allow.auto.create.topics",
        "delivery.report.only.error",
        "queuing.strategy",
        "sasl.password",
    ];
    for alias in aliases {
        let error = with_property(alias, "1").check().expect_err(alias);
        assert!(error.to_string().contains(alias), "{error}");
    }
}

#[test]
fn harmless_properties_pass_and_unknown_ones_are_named() {
    assert_eq!(with_property("socket.timeout.ms", "20000").check(), Ok(()));
    let unknown = with_property("sokcet.timeout.ms", "1").check();
    assert!(
        matches!(&unknown, Err(SettingsError::Rejected { property, reason })
            if property == "sokcet.timeout.ms" && reason.contains("No such configuration property")),
        "{unknown:?}"
    );
}

#[test]
fn features_outside_the_build_are_named() {
    let not_in_build = |feature: &str| SettingsError::NotInBuild { feature: feature.to_owned() };
    let kerberos = with_property("sasl.kerberos.keytab", "/etc/keytab").check();
    assert_eq!(kerberos, Err(not_in_build("SASL GSSAPI (Kerberos)")));
    assert_eq!("gssapi".parse::<SaslMechanism>(), Err(not_in_build("SASL GSSAPI")));
    assert_eq!("OAUTHBEARER".parse::<SaslMechanism>(), Err(not_in_build("SASL OAUTHBEARER")));
    assert!("SCRAM-SHA-1".parse::<SaslMechanism>().is_err());
}

#[test]
fn each_mechanism_is_built_in() {
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512]
    {
        assert_eq!(with_login(mechanism).check(), Ok(()));
        assert_eq!(mechanism.name().parse(), Ok(mechanism));
    }
}

#[test]
fn a_protocol_and_what_belongs_to_it_must_agree() {
    let mut settings = with_login(SaslMechanism::Plain);
    settings.security.protocol = SecurityProtocol::Ssl;
    let protocol = SecurityProtocol::Ssl;
    assert_eq!(settings.check(), Err(SettingsError::LoginUnused { protocol }));

    settings.security.protocol = SecurityProtocol::SaslSsl;
    settings.security.login = None;
    let protocol = SecurityProtocol::SaslSsl;
    assert_eq!(settings.check(), Err(SettingsError::LoginMissing { protocol }));

    settings.security.protocol = SecurityProtocol::Plaintext;
    settings.security.tls.ca = Some("/etc/ca.pem".into());
    let protocol = SecurityProtocol::Plaintext;
    assert_eq!(settings.check(), Err(SettingsError::TlsUnused { protocol }));
}

#[test]
fn a_batch_is_never_larger_than_asked_for() {
    let batch = |settings: &KafkaSettings| {
        let config = settings.producer_config(1_000).expect("good settings");
        config.get("batch.size").map(str::to_owned)
    };
    assert_eq!(batch(&with_property("batch.size", "2000")).as_deref(), Some("1000"));
    assert_eq!(batch(&with_property("batch.size", "500")).as_deref(), Some("500"));
    assert_eq!(batch(&with_property("client.id", "x")).as_deref(), Some("1000"));
}

#[test]
fn secrets_are_in_no_message() {
    let settings = with_login(SaslMechanism::Plain);
    assert!(!format!("{settings:?}").contains("swordfish"));
    let rejected = with_property("socket.timeout.ms", "swordfish").check().expect_err("no number");
    assert!(!rejected.to_string().contains("swordfish"), "{rejected}");
}

#[test]
fn servers_are_needed() {
    assert_eq!(KafkaSettings::plaintext(" ").check(), Err(SettingsError::NoServers));
}
