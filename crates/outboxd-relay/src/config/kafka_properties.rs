//! `kafka.properties`: what is handed to librdkafka. A property that has a key of its own is
//! refused, so that each thing is said in one place and no secret stands among the properties.
//! Properties that would break a guarantee are the sink's to refuse, which knows what it sets.

use std::collections::BTreeMap;
use std::fmt;

use config::Value;

use super::section::Section;
use super::setting::Setting;

/// Names and values for librdkafka. Neither `Debug` nor `config print` shows a value whose name
/// says that it may be a secret.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KafkaProperties(BTreeMap<String, String>);

impl KafkaProperties {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let properties = section.value("properties", Self::default());
        for (property, key) in OWN_KEYS {
            if properties.0.contains_key(property) {
                let text = format!("`kafka.properties` must not set {property:?}");
                section.problem("properties", &text, &format!("set `{key}` instead"));
            }
        }
        properties
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn masked(&self) -> BTreeMap<String, String> {
        let mask = |(name, value)| if may_be_secret(name) { (name, "***") } else { (name, value) };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        self.iter().map(mask).map(owned).collect()
    }
}

impl fmt::Debug for KafkaProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.masked().fmt(f)
    }
}

impl Setting for KafkaProperties {
    const SHOWN: bool = false;

    fn expected() -> String {
        BTreeMap::expected()
    }

    fn parse(value: &Value) -> Option<Self> {
        BTreeMap::parse(value).map(Self)
    }

    fn print(&self) -> toml::Value {
        self.masked().print()
    }
}

fn may_be_secret(property: &str) -> bool {
    SECRET_WORDS.iter().any(|word| property.contains(word))
}

const SECRET_WORDS: [&str; 6] = ["password", "secret", "token", "pem", "jaas", "sasl.oauthbearer"];

const OWN_KEYS: [(&str, &str); 16] = [
    ("bootstrap.servers", "kafka.bootstrap_servers"),
    ("metadata.broker.list", "kafka.bootstrap_servers"),
    ("compression.codec", "kafka.compression"),
    ("compression.type", "kafka.compression"),
    ("linger.ms", "kafka.linger"),
    ("queue.buffering.max.ms", "kafka.linger"),
    ("security.protocol", "kafka.security.protocol"),
    ("sasl.mechanism", "kafka.security.sasl.mechanism"),
    ("sasl.mechanisms", "kafka.security.sasl.mechanism"),
    ("sasl.username", "kafka.security.sasl.username"),
    ("sasl.password", "kafka.security.sasl.password"),
    ("ssl.ca.location", "kafka.security.tls.ca"),
    ("ssl.certificate.location", "kafka.security.tls.cert"),
    ("ssl.key.location", "kafka.security.tls.key"),
    ("ssl.key.password", "kafka.security.tls.key_password"),
    ("transactional.id", "source.name"),
];
