//! `[kafka]`: the brokers, and how to talk to them.

use std::time::Duration;

use super::kafka_properties::KafkaProperties;
use super::kafka_security::KafkaSecurity;
use super::section::Section;
use super::setting::Choice;
use crate::sink::settings::LINGER_DEFAULT;

#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port` each; never empty.
    pub bootstrap_servers: Vec<String>,
    pub security: KafkaSecurity,
    pub compression: Compression,
    pub linger: Duration,
    /// Handed to librdkafka as they are.
    pub properties: KafkaProperties,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl KafkaConfig {
    /// `None`: there are no brokers, which is noted.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let servers: Option<Vec<String>> = section.optional("bootstrap_servers");
        let servers = servers.filter(|servers| !servers.is_empty());
        match &servers {
            Some(servers) => check_servers(&mut section, servers),
            None => {
                let hint = "set --kafka, or `bootstrap_servers` under [kafka]";
                let text = "no Kafka is given (`kafka.bootstrap_servers`)";
                section.missing("bootstrap_servers", text, hint);
            }
        }
        let compression = section.value("compression", Compression::Lz4);
        let linger = section.value("linger", LINGER_DEFAULT);
        let properties = KafkaProperties::read(&mut section);
        let security = KafkaSecurity::read(section.section("security"));
        Some(Self { bootstrap_servers: servers?, security, compression, linger, properties })
    }
}

impl Compression {
    /// The name that librdkafka knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Choice for Compression {
    const ALL: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("gzip", Self::Gzip),
        ("snappy", Self::Snappy),
        ("lz4", Self::Lz4),
        ("zstd", Self::Zstd),
    ];
}

fn check_servers(section: &mut Section<'_>, servers: &[String]) {
    for server in servers.iter().filter(|server| !is_address(server)) {
        let text = format!("`kafka.bootstrap_servers`: {server:?} is not of the form host:port");
        section.problem("bootstrap_servers", &text, "write host:9092, without a scheme");
    }
}

fn is_address(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port != 0)
}
