//! From the configuration to the parts it configures.

use std::num::{NonZeroU16, NonZeroU32};

use outboxd_core::gate::Rules;
use outboxd_core::headers::HeaderChoice;
use outboxd_core::lsn::Lsn;
use outboxd_core::mapping::{Mapper, MappingConfig};
use outboxd_core::parking::{self, Policy};
use outboxd_core::relation::{ColumnNames, ExtraColumn, OptionalColumn, TableName};
use outboxd_core::relay::{Goal, Settings, TransactionLimits};
use outboxd_core::route::TopicRules;
use outboxd_core::stop::{Code, Stop};
use outboxd_core::topics::OnPartitionsChanged;
use outboxd_core::window::Limits;
use secrecy::ExposeSecret;

use crate::config::{self, Config};
use crate::sink::{NewTopics, settings as kafka};
use crate::source::params::{ChannelBinding, ConnectParams};
use crate::source::tls_settings::{ClientIdentity, TlsMode, TlsSettings};

/// What is asked for on the command line of one run and is no setting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    pub adopt_slot: bool,
    pub adopt_from: Option<Lsn>,
    pub accept_publication: bool,
    /// Stop instead of waiting for another relay.
    pub no_wait: bool,
    /// Stop instead of waiting for a server.
    pub fail_fast: bool,
}

pub fn settings(config: &Config, wishes: Wishes, goal: Goal) -> Settings {
    let Config { source, delivery, .. } = config;
    Settings {
        rules: Rules {
            database: source.database.clone(),
            slot: source.slot.clone(),
            publication: source.publication.clone(),
            create_slot: source.create_slot || goal == Goal::SetUp,
            adopt_slot: wishes.adopt_slot,
            adopt_from: wishes.adopt_from,
            accept_publication: wishes.accept_publication,
        },
        goal,
        limits: Limits {
            events: delivery.max_in_flight_events.get() as usize,
            bytes: delivery.max_in_flight_bytes.as_u64(),
            overhead: RECORD_OVERHEAD_BYTES,
        },
        parking: parking(config),
        on_partitions_changed: match config.topic.on_partitions_changed {
            config::OnPartitionsChanged::Stop => OnPartitionsChanged::Stop,
            config::OnPartitionsChanged::Switch => OnPartitionsChanged::Switch,
        },
        transactions: is_exactly_once(config).then(|| TransactionLimits {
            bytes: delivery.max_transaction_bytes.as_u64(),
            time: delivery.max_transaction_time,
        }),
        unrecorded_events_max: u64::from(delivery.max_unrecorded_events.get()),
        progress_interval: delivery.progress_interval,
        wal_sender_timeout: source.wal_sender_timeout,
        release_after: source.release_after,
        drain_timeout: delivery.drain_timeout,
        rotate_every: config.retention.rotate_every.filter(|_| goal == Goal::Run),
    }
}

fn is_exactly_once(config: &Config) -> bool {
    config.delivery.mode == config::DeliveryMode::ExactlyOnce
}

fn parking(config: &Config) -> parking::Rules {
    let errors = &config.errors;
    parking::Rules {
        policy: match errors.on_record_error {
            config::OnRecordError::Park => Policy::Park,
            config::OnRecordError::Halt => Policy::Halt,
            config::OnRecordError::Skip => Policy::Skip,
        },
        max_parked: u64::from(errors.max_parked.get()),
        max_parked_per_key: u64::from(errors.max_parked_per_key.get()),
    }
}

pub fn mapper(config: &Config) -> Result<Mapper, Stop> {
    let choice = |header: config::RelayHeader| config.headers.include.contains(&header);
    let mapping = MappingConfig {
        tables: tables(config)?,
        messages_prefix: config.source.messages_prefix.clone(),
        columns: columns(config),
        topics: TopicRules {
            template: config.topic.template.clone(),
            map: config.topic.map.clone(),
            allow: config.topic.allow.clone(),
        },
        headers: HeaderChoice {
            event_type: choice(config::RelayHeader::Type),
            sequence: choice(config::RelayHeader::Sequence),
        },
    };
    Mapper::new(mapping).map_err(|error| {
        Stop::new(Code::Config, error.to_string()).hint("see [topic], [columns] and source.tables")
    })
}

pub fn tables(config: &Config) -> Result<Vec<TableName>, Stop> {
    let parse = |name: &String| {
        name.parse().map_err(|error| {
            Stop::new(Code::Config, format!("source.tables: {error}"))
                .hint("name tables as schema.table")
        })
    };
    config.source.tables.iter().map(parse).collect()
}

pub fn columns(config: &Config) -> ColumnNames {
    let columns = &config.columns;
    let optional = |column: &config::OptionalColumn| match column.required {
        true => OptionalColumn::Named(column.name.clone()),
        false => OptionalColumn::IfPresent(column.name.clone()),
    };
    let extra = |extra: &config::ExtraColumn| ExtraColumn {
        column: extra.column.clone(),
        header: extra.header.clone(),
    };
    ColumnNames {
        id: columns.id.clone(),
        aggregate_type: optional(&columns.aggregatetype),
        aggregate_id: optional(&columns.aggregateid),
        event_type: optional(&columns.event_type),
        payload: columns.payload.clone(),
        headers: optional(&columns.headers),
        created_at: optional(&columns.created_at),
        topic: columns.topic.clone(),
        partition_key: columns.partition_key.clone(),
        schema_version: columns.schema_version.clone(),
        content_type: columns.content_type.clone(),
        extra: columns.extra.iter().map(extra).collect(),
    }
}

/// How to reach Postgres now: a password in a file is read each time.
pub fn connect_params(
    config: &config::SourceConfig,
    url: &config::Secret,
) -> Result<ConnectParams, Stop> {
    let refused = |error: &dyn std::error::Error| {
        Stop::new(Code::Config, "the connection URL cannot be used")
            .detail(crate::error_chain(error))
            .hint("it has the form postgres://user:password@host:5432/database")
    };
    let url = url.read().map_err(|error| refused(&error))?;
    let mut params = ConnectParams::parse(url.expose_secret()).map_err(|error| refused(&error))?;
    apply_tls(&config.tls, &mut params.tls);
    match config.channel_binding {
        config::ChannelBinding::Disable => params.channel_binding = ChannelBinding::Disable,
        config::ChannelBinding::Require => params.channel_binding = ChannelBinding::Require,
        config::ChannelBinding::Prefer => {}
    }
    for method in &config.allow_auth {
        match method {
            config::AuthMethod::Md5 => params.allowed_auth.md5 = true,
            config::AuthMethod::Cleartext => params.allowed_auth.cleartext = true,
        }
    }
    Ok(params)
}

/// What stands under `[source.tls]` wins over the URL; what does not is left as the URL says, since
/// the two URLs may differ.
fn apply_tls(config: &config::SourceTls, tls: &mut TlsSettings) {
    if config.mode_is_set || (config.ca.is_some() && tls.mode == TlsMode::Prefer) {
        tls.mode = match config.mode {
            config::TlsMode::Disable => TlsMode::Disable,
            config::TlsMode::Prefer => TlsMode::Prefer,
            config::TlsMode::Require => TlsMode::Require,
            config::TlsMode::VerifyCa => TlsMode::VerifyCa,
            config::TlsMode::VerifyFull => TlsMode::VerifyFull,
        };
    }
    if let Some(ca) = &config.ca {
        tls.ca = Some(ca.clone());
    }
    if let (Some(certificate), Some(key)) = (&config.cert, &config.key) {
        let (certificate, key) = (certificate.clone(), key.clone());
        tls.identity = Some(ClientIdentity { certificate, key });
    }
}

pub fn kafka(config: &Config) -> Result<kafka::KafkaSettings, Stop> {
    let transactions = is_exactly_once(config).then(|| kafka::Transactions {
        id: format!("outboxd.{}", config.source.name),
        open_max: config.delivery.max_transaction_time,
    });
    let config = &config.kafka;
    let settings = kafka::KafkaSettings {
        bootstrap_servers: config.bootstrap_servers.join(","),
        security: security(&config.security),
        compression: match config.compression {
            config::Compression::None => kafka::Compression::None,
            config::Compression::Gzip => kafka::Compression::Gzip,
            config::Compression::Snappy => kafka::Compression::Snappy,
            config::Compression::Lz4 => kafka::Compression::Lz4,
            config::Compression::Zstd => kafka::Compression::Zstd,
        },
        linger: config.linger,
        properties: config
            .properties
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        transactions,
    };
    settings.check().map_err(|error| {
        Stop::new(Code::Config, error.to_string()).hint(
            "see [kafka] and [kafka.security]; librdkafka's CONFIGURATION.md lists properties",
        )
    })?;
    Ok(settings)
}

/// How topics for events are created; `None`: by their owners, not by us.
pub fn creation(config: &Config) -> Option<NewTopics> {
    let topic = &config.topic;
    topic.create.then(|| NewTopics {
        partitions: topic.partitions.map(NonZeroU32::get),
        replication_factor: topic.replication_factor.map(NonZeroU16::get),
        config: topic.config.clone(),
    })
}

fn security(config: &config::KafkaSecurity) -> kafka::Security {
    let login = config.sasl.as_ref().map(|sasl| kafka::SaslLogin {
        mechanism: match sasl.mechanism {
            config::SaslMechanism::Plain => kafka::SaslMechanism::Plain,
            config::SaslMechanism::ScramSha256 => kafka::SaslMechanism::ScramSha256,
            config::SaslMechanism::ScramSha512 => kafka::SaslMechanism::ScramSha512,
        },
        username: sasl.username.clone(),
        password: sasl.password.clone(),
    });
    kafka::Security {
        protocol: match config.protocol {
            config::SecurityProtocol::Plaintext => kafka::SecurityProtocol::Plaintext,
            config::SecurityProtocol::Ssl => kafka::SecurityProtocol::Ssl,
            config::SecurityProtocol::SaslPlaintext => kafka::SecurityProtocol::SaslPlaintext,
            config::SecurityProtocol::SaslSsl => kafka::SecurityProtocol::SaslSsl,
        },
        login,
        tls: kafka::TlsSettings {
            ca: config.tls.ca.clone(),
            certificate: config.tls.cert.clone(),
            key: config.tls.key.clone(),
            key_password: config.tls.key_password.clone(),
            verify_hostname: true,
        },
    }
}

/// What librdkafka allocates for a record with three headers beside the bytes of the record itself.
const RECORD_OVERHEAD_BYTES: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    const KAFKA: (&str, &str) = ("OUTBOXD_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092");
    /// Any file: it is opened, and read only by a connection.
    const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    fn source(variables: &[(&str, &str)]) -> config::SourceConfig {
        let variables = [&[KAFKA], variables].concat();
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let inputs = Inputs { environment: pairs.collect(), ..Inputs::default() };
        Config::load(&inputs).unwrap().source
    }

    #[test]
    fn each_url_keeps_its_own_tls() {
        let source = source(&[
            ("OUTBOXD_SOURCE__URL", "postgres://a@db/x?sslmode=verify-ca&sslrootcert=/ca.pem"),
            ("OUTBOXD_SOURCE__REPLICATION_URL", "postgres://b@db/x?sslmode=require"),
        ]);
        let tls = connect_params(&source, &source.url).unwrap().tls;
        assert_eq!((tls.mode, tls.ca), (TlsMode::VerifyCa, Some("/ca.pem".into())));
        let tls = connect_params(&source, &source.replication_url).unwrap().tls;
        assert_eq!((tls.mode, tls.ca), (TlsMode::Require, None));
    }

    #[test]
    fn what_the_configuration_says_of_tls_holds_for_both_urls() {
        let source = source(&[
            ("OUTBOXD_SOURCE__URL", "postgres://a@db/x?sslmode=disable"),
            ("OUTBOXD_SOURCE__REPLICATION_URL", "postgres://b@db/x?sslrootcert=/ca.pem"),
            ("OUTBOXD_SOURCE__TLS__MODE", "require"),
            ("OUTBOXD_SOURCE__TLS__CA", CA),
        ]);
        for url in [&source.url, &source.replication_url] {
            let tls = connect_params(&source, url).unwrap().tls;
            assert_eq!((tls.mode, tls.ca), (TlsMode::Require, Some(CA.into())));
        }
    }

    #[test]
    fn a_ca_is_there_to_be_checked_against() {
        let url = ("DATABASE_URL", "postgres://a@db/x");
        let source = source(&[url, ("OUTBOXD_SOURCE__TLS__CA", CA)]);
        let tls = connect_params(&source, &source.url).unwrap().tls;
        assert_eq!(tls.mode, TlsMode::VerifyFull);
    }
}
