//! How to reach Kafka: what an operator may choose, and what outboxd's guarantees fix.

mod credentials;
mod fixed;
mod security;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

pub(super) use self::credentials::Credentials;
pub use self::security::{SaslLogin, SaslMechanism, Security, SecurityProtocol, TlsSettings};

#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    pub security: Security,
    pub compression: Compression,
    /// How long a record waits for company.
    pub linger: Duration,
    /// librdkafka's own properties, passed through.
    pub properties: BTreeMap<String, String>,
    /// Exactly-once mode.
    pub transactions: Option<Transactions>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transactions {
    /// Of all producers with this id only the last that was initialised can write.
    pub id: String,
    /// How long one may stay open before the relay ends it.
    pub open_max: Duration,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    #[default]
    Lz4,
    Zstd,
}

/// Why settings cannot be used. Never holds a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingsError {
    #[error("no Kafka servers are given")]
    NoServers,
    #[error("the Kafka property {property} cannot be set: {reason}")]
    Refused { property: String, reason: &'static str },
    #[error("{feature} is not part of this build")]
    NotInBuild { feature: String },
    #[error("the protocol {protocol} needs a SASL mechanism, a user name and a password")]
    LoginMissing { protocol: SecurityProtocol },
    #[error("a SASL login is given, but the protocol {protocol} has none")]
    LoginUnused { protocol: SecurityProtocol },
    #[error("TLS files are given, but the protocol {protocol} has no TLS")]
    TlsUnused { protocol: SecurityProtocol },
    #[error("{reason}")]
    Unreadable { reason: String },
    /// librdkafka's own judgement.
    #[error("the Kafka property {property} is not accepted: {reason}")]
    Rejected { property: String, reason: String },
    /// librdkafka's own judgement on several properties together.
    #[error("the Kafka settings are not accepted: {reason}")]
    Inconsistent { reason: String },
}

impl KafkaSettings {
    /// Plain text to these servers, everything else as it is by default.
    pub fn plaintext(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            security: Security::default(),
            compression: Compression::default(),
            linger: LINGER_DEFAULT,
            properties: BTreeMap::new(),
            transactions: None,
        }
    }

    /// Finds what can be found without a broker.
    pub fn check(&self) -> Result<(), SettingsError> {
        let config = self.producer_config(BATCH_BYTES)?;
        config.create_native_config().map(drop).map_err(SettingsError::from_client)
    }

    /// `batch_bytes` bounds a batch unless the operator chose a lower bound.
    pub(super) fn producer_config(
        &self,
        batch_bytes: usize,
    ) -> Result<ClientConfig, SettingsError> {
        let mut config = self.client_config()?;
        let linger_ms = self.linger.as_secs_f64() * 1e3;
        config.set("linger.ms", linger_ms.to_string());
        config.set("compression.codec", self.compression.name());
        let chosen = self.properties.get("batch.size").and_then(|size| size.parse().ok());
        config.set("batch.size", chosen.unwrap_or(usize::MAX).min(batch_bytes).to_string());
        for (property, value) in fixed::PRODUCER {
            config.set(*property, *value);
        }
        match &self.transactions {
            Some(transactions) => transactions.apply(&mut config),
            None => {
                for (property, value) in fixed::AT_LEAST_ONCE {
                    config.set(*property, *value);
                }
            }
        }
        Ok(config)
    }

    /// A commit that takes as long may have been sent twice: librdkafka asks again when a request is
    /// not answered in time.
    pub(super) fn commit_time_max(&self) -> Duration {
        let chosen = self.properties.get("socket.timeout.ms").and_then(|ms| ms.parse().ok());
        chosen.map_or(REQUEST_TIME, Duration::from_millis)
    }

    /// For clients that only ask or read.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, SettingsError> {
        if self.bootstrap_servers.trim().is_empty() {
            return Err(SettingsError::NoServers);
        }
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        for (property, value) in DEFAULTS {
            config.set(*property, *value);
        }
        for (property, value) in &self.properties {
            fixed::check(property)?;
            config.set(property, value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("allow.auto.create.topics", "false");
        self.security.apply(&mut config)?;
        Ok(config)
    }
}

impl Transactions {
    /// A record that is not written within the life of its transaction never will be.
    fn apply(&self, config: &mut ClientConfig) {
        let timeout_ms = (self.open_max + COMMIT_TIME).as_millis().to_string();
        config.set(TRANSACTIONAL_ID, &self.id);
        config.set("transaction.timeout.ms", &timeout_ms);
        config.set("message.timeout.ms", &timeout_ms);
        if config.get("socket.timeout.ms").is_none() {
            config.set("socket.timeout.ms", REQUEST_TIME.as_millis().to_string());
        }
    }
}

impl SettingsError {
    /// The value is left out on purpose: it may be a secret, and librdkafka quotes it.
    pub(super) fn from_client(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, reason, property, value) => {
                let reason = if value.is_empty() { reason } else { reason.replace(&value, "…") };
                Self::Rejected { property, reason }
            }
            other => Self::Inconsistent { reason: other.to_string() },
        }
    }
}

impl Compression {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

pub(super) const TRANSACTIONAL_ID: &str = "transactional.id";

/// Under load batches fill while earlier ones are in flight, and at rest nobody should wait.
pub const LINGER_DEFAULT: Duration = Duration::ZERO;

/// Well below the usual `max.message.bytes` of 1 MiB, which brokers judge on the whole batch.
pub(super) const BATCH_BYTES: usize = 256 * 1024;

/// What the brokers allow a transaction beyond the time that the relay keeps it open: enough for
/// reports, the position, and the commit.
const COMMIT_TIME: Duration = Duration::from_secs(20);
/// How long a request of a transaction waits for its answer.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// May be changed by the operator. A broker that comes back should be noticed soon. Where the only
/// broker is fenced, as a frozen one is, metadata names none, and librdkafka forgets even the address
/// that it was given: without a new bootstrap it would write nothing for five minutes.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "outboxd"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "2000"),
    ("metadata.recovery.rebootstrap.trigger.ms", "5000"),
];

#[cfg(test)]
mod tests;
