//! Configuration: flags over environment over file over defaults, in one typed tree.
//!
//! Everything is checked when it is read: a [`Config`] that exists is complete and consistent.
//! What is wrong ends in a [`Stop`] that names every problem at once and where it stands. Secrets
//! appear neither in a stop, nor in `Debug`, nor in what [`Effective::to_toml`] prints.

mod byte_size;
mod columns;
mod database_url;
mod delivery;
mod errors;
mod file;
mod format;
mod headers;
mod http;
mod inputs;
mod kafka;
mod kafka_properties;
mod kafka_security;
mod layers;
mod log;
mod nearest;
mod origin;
mod print;
mod problem;
mod reader;
mod secret;
mod section;
mod setting;
mod source;
mod source_tls;
mod substitute;
mod topic;

#[cfg(test)]
mod tests;

use outboxd_core::stop::{Code, Stop};

pub use self::byte_size::{ByteSize, ParseByteSizeError};
pub use self::columns::{ColumnsConfig, ExtraColumn, OptionalColumn};
pub use self::delivery::{DeliveryConfig, DeliveryMode, ProgressConfig, ProgressStore};
pub use self::errors::{Backoff, ErrorsConfig, OnRecordError};
pub use self::format::{FormatConfig, FormatMode};
pub use self::headers::{HeadersConfig, RelayHeader};
pub use self::http::{HttpConfig, Listen};
pub use self::inputs::{Flags, Inputs};
pub use self::kafka::{Compression, KafkaConfig};
pub use self::kafka_properties::KafkaProperties;
pub use self::kafka_security::{KafkaSecurity, KafkaTls, Sasl, SaslMechanism, SecurityProtocol};
pub use self::log::{LogConfig, LogFormat, LogLevel};
pub use self::secret::{Secret, SecretError};
pub use self::source::{AuthMethod, ChannelBinding, SourceConfig};
pub use self::source_tls::{SourceTls, TlsMode};
pub use self::topic::{OnPartitionsChanged, TopicConfig};

use self::print::Entry;
use self::problem::Problem;
use self::reader::Reader;

#[derive(Clone, Debug)]
pub struct Config {
    pub source: SourceConfig,
    pub columns: ColumnsConfig,
    pub topic: TopicConfig,
    pub headers: HeadersConfig,
    pub format: FormatConfig,
    pub kafka: KafkaConfig,
    pub delivery: DeliveryConfig,
    pub errors: ErrorsConfig,
    pub http: HttpConfig,
    pub log: LogConfig,
}

impl Config {
    pub fn load(inputs: &Inputs) -> Result<Self, Stop> {
        Effective::read(inputs)?.into_config()
    }
}

/// For what looks at the database alone.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    pub source: SourceConfig,
    pub log: LogConfig,
}

impl DatabaseConfig {
    /// Lacking a Kafka is no problem here; whatever is wrong in the file is one all the same.
    pub fn load(inputs: &Inputs) -> Result<Self, Stop> {
        let mut reader = Reader::new(layers::merge(inputs)?);
        // Every section is read, so that its keys are known.
        let _ = read_sections(&mut reader);
        reader.note_unknown_keys(&inputs.environment);
        reader.missing.clear();
        let mut problems = std::mem::take(&mut reader.problems);
        reader.entries.clear();
        let source = SourceConfig::read(reader.section("source"));
        let log = LogConfig::read(reader.section("log"));
        problems.append(&mut reader.missing);
        match (problem::stop(&problems.iter().collect::<Vec<_>>()), source) {
            (Some(stop), _) => Err(stop),
            (None, Some(source)) => Ok(Self { source, log }),
            (None, None) => Err(Stop::new(Code::Internal, "an incomplete configuration")),
        }
    }
}

/// What was read, with all that is wrong with it.
pub struct Effective {
    config: Option<Config>,
    problems: Vec<Problem>,
    missing: Vec<Problem>,
    entries: Vec<Entry>,
}

impl Effective {
    /// Fails only when the file cannot be read or parsed.
    pub fn read(inputs: &Inputs) -> Result<Self, Stop> {
        let mut reader = Reader::new(layers::merge(inputs)?);
        let config = read_sections(&mut reader);
        reader.note_unknown_keys(&inputs.environment);
        let Reader { problems, missing, entries, .. } = reader;
        Ok(Self { config, problems, missing, entries })
    }

    pub fn into_config(self) -> Result<Config, Stop> {
        let problems: Vec<&Problem> = self.problems.iter().chain(&self.missing).collect();
        match (problem::stop(&problems), self.config) {
            (None, Some(config)) => Ok(config),
            (Some(stop), _) => Err(stop),
            (None, None) => Err(Stop::new(Code::Internal, "an incomplete configuration")),
        }
    }

    /// Every key with its value and where it came from. What is only missing does not keep it from
    /// being shown.
    pub fn to_toml(&self) -> Result<String, Stop> {
        match problem::stop(&self.problems.iter().collect::<Vec<_>>()) {
            Some(stop) => Err(stop),
            None => Ok(print::to_toml(&self.entries)),
        }
    }
}

/// Reads every section, also past one that lacks something.
fn read_sections(reader: &mut Reader) -> Option<Config> {
    let source = SourceConfig::read(reader.section("source"));
    let columns = ColumnsConfig::read(reader.section("columns"));
    let topic = TopicConfig::read(reader.section("topic"));
    let headers = HeadersConfig::read(reader.section("headers"));
    let format = FormatConfig::read(reader.section("format"));
    let kafka = KafkaConfig::read(reader.section("kafka"));
    let name = source.as_ref().map(|source| source.name.as_str());
    let delivery = DeliveryConfig::read(reader.section("delivery"), name);
    let errors = ErrorsConfig::read(reader.section("errors"));
    let http = HttpConfig::read(reader.section("http"));
    let log = LogConfig::read(reader.section("log"));
    let (source, kafka, delivery) = (source?, kafka?, delivery?);
    Some(Config { source, columns, topic, headers, format, kafka, delivery, errors, http, log })
}
