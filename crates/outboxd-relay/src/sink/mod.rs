//! Where records go: Kafka, or for benchmarks and tests a stand-in behind the same trait.

mod acks;
mod client_log;
mod creation;
mod delivery;
pub mod discard;
pub mod kafka;
pub mod memory;
mod producer;
mod progress;
mod progress_topic;
pub(crate) mod reading;
pub mod settings;
pub(crate) mod stop;
#[cfg(test)]
mod testing;
mod topics;
mod verdict;

use std::future::{self, Future};

use outboxd_core::progress::{ProgressError, Recorded};
use outboxd_core::record::{Record, Token};
use outboxd_core::stop::RecordErrorKind;
use outboxd_core::topic::{TopicError, TopicInfo};

pub use self::creation::NewTopics;
pub use self::progress_topic::{
    ProgressTopicError, check_progress_topic, ensure_progress_topic, reach,
};
use self::settings::SettingsError;

/// Takes records in order and reports each exactly once.
///
/// Owned by the relay's task. Handing over never blocks and never waits: the relay bounds what is
/// in flight, so a sink has room by construction.
pub trait Sink: Send + 'static {
    /// Hands a record over; its [`Report`] comes later. An error means that the record was not
    /// taken and there will be no report.
    fn produce(&mut self, record: &Record<'_>) -> Result<(), ProduceError>;

    /// Appends to the progress topic (`None`: a tombstone). At most one is in flight at a time.
    fn append_progress(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ProduceError>;

    /// The next report, if one is there.
    fn next_report(&mut self) -> Option<Report>;

    /// Resolves when there may be a report. Cancel safe.
    fn reports_ready(&mut self) -> impl Future<Output = ()> + Send;

    /// Looks a topic up. May run beside everything else.
    fn describe_topic(
        &self,
        topic: String,
    ) -> impl Future<Output = Result<TopicInfo, TopicError>> + Send + 'static;

    /// Reads the progress topic.
    fn read_progress(
        &self,
        extent: Extent,
    ) -> impl Future<Output = Result<ProgressRead, SinkError>> + Send + 'static;

    /// The progress topic will not be read again for a while.
    fn progress_settled(&mut self) {}

    /// Throws a failed producer away and builds a new one. Called when every report of the old one
    /// has been taken.
    fn replace_producer(&mut self) -> Result<(), SinkError>;

    /// Exactly-once mode: builds a producer and shuts out all others of this relay's name. Then what
    /// is handed over belongs to a transaction, until it is committed.
    fn fence(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send + 'static {
        future::ready(Err(SinkError::Config("this sink keeps no transactions".to_owned())))
    }

    /// Commits the transaction. All reports of what was handed over have been taken.
    fn commit(&mut self) -> impl Future<Output = Result<Committed, SinkError>> + Send + 'static {
        future::ready(Ok(Committed::default()))
    }

    /// Aborts the transaction and throws the producer away. The reports of what it holds follow.
    fn abandon(&mut self) {}

    /// A topic was described. Why the producer should be replaced once what is in flight is reported:
    /// its batches may exceed the topic's limit, so that a broker could refuse records that are each
    /// small enough; or it may not have heard of the topic's new partitions.
    fn outdated_by(&mut self, _topic: &str, _info: &TopicInfo) -> Option<&'static str> {
        None
    }
}

/// How far the progress topic is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// What can be read now. What an open transaction holds cannot be.
    Readable,
    /// All that is written at the time of the call. The end of an open transaction is waited for.
    Written,
}

/// A transaction is committed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Committed {
    /// The request may have been sent twice, and the second still be on its way: it would commit
    /// the next transaction of the same producer.
    pub is_doubtful: bool,
}

/// What became of something handed over.
#[derive(Debug)]
pub enum Report {
    Acked(Token),
    Refused(Box<Refusal>),
    /// The progress record is durable at this offset, when the broker said so.
    ProgressAcked {
        offset: Option<i64>,
    },
    ProgressRefused {
        error: String,
    },
    /// The producer is dead. The reports of what it still holds follow.
    Fatal {
        error: String,
    },
}

/// A record that the sink gave up on.
#[derive(Debug)]
pub struct Refusal {
    pub token: Token,
    pub cause: RefusalCause,
    pub error: String,
    pub event_id: Option<String>,
    pub topic: String,
    pub key: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalCause {
    /// This record, or another of its batch, is not acceptable: brokers judge the whole batch.
    TooLarge,
    UnknownTopic,
    Unauthorized,
    InvalidTimestamp,
    InvalidRecord,
    /// The producer died or was purged before this record was sent or acknowledged.
    ProducerLost {
        possibly_persisted: bool,
    },
}

impl RefusalCause {
    /// `None`: not the record's fault.
    pub fn kind(self) -> Option<RecordErrorKind> {
        Some(match self {
            Self::TooLarge => RecordErrorKind::RecordTooLarge,
            Self::UnknownTopic => RecordErrorKind::UnknownTopic,
            Self::Unauthorized => RecordErrorKind::TopicUnauthorized,
            Self::InvalidTimestamp => RecordErrorKind::InvalidTimestamp,
            Self::InvalidRecord => RecordErrorKind::InvalidRecord,
            Self::ProducerLost { .. } => return None,
        })
    }
}

/// The progress topic, oldest first. Of each key only the last record need be there.
#[derive(Debug, Default)]
pub struct ProgressRead {
    /// `false`: the topic does not exist.
    pub exists: bool,
    pub records: Vec<ProgressEntry>,
    /// The offset the next record will get.
    pub high_watermark: i64,
}

impl ProgressRead {
    pub fn recorded(&self) -> Result<Recorded, ProgressError> {
        let entries = self.records.iter();
        Recorded::read(entries.map(|it| (it.offset, it.key.as_slice(), it.value.as_deref())))
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProgressEntry {
    pub offset: i64,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// The record was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ProduceError {
    pub cause: RefusalCause,
    pub error: String,
}

/// What to look at while Kafka refuses the login.
pub(crate) const LOGIN_HINT: &str = "check kafka.security.sasl: mechanism, user name, password";

/// What to look at while Kafka does not answer.
pub(crate) const UNREACHABLE_HINT: &str = "check kafka.bootstrap_servers, that a broker runs there, \
                                           that its advertised.listeners can be reached from here, \
                                           and kafka.security (TLS or not, login)";

/// The sink could not be reached or used.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("{0}")]
    Transport(String),
    #[error("{0}")]
    LoginRefused(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Config(String),
}

impl From<SettingsError> for SinkError {
    fn from(error: SettingsError) -> Self {
        match error {
            // It could be read at the start: another secret is on its way.
            SettingsError::Unreadable { reason } => Self::LoginRefused(reason),
            error => Self::Config(error.to_string()),
        }
    }
}
