//! Creates and checks the progress topic.

use std::sync::Arc;
use std::time::Duration;

use outboxd_core::topic::TopicError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::task::spawn_blocking;

use super::SinkError;
use super::client_log::ClientLog;
use super::creation::{CreateError, NewTopics, create};
use super::settings::{KafkaSettings, SettingsError};
use super::topics::{LOOKUP_TIMEOUT, Lookup, explain};

/// Why a topic cannot hold progress.
#[derive(Debug, thiserror::Error)]
pub enum ProgressTopicError {
    #[error("the topic does not exist")]
    Missing,
    /// Progress would be deleted with old segments.
    #[error("its cleanup.policy is {policy}; it must be compact")]
    Policy { policy: String },
    /// The order of progress records would be lost.
    #[error("it has {partitions} partitions; it must have one")]
    Partitions { partitions: u32 },
    #[error("the broker does not create it: {0}")]
    CreateRefused(String),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Asks any broker for a sign of life; an error says why there is none.
pub async fn reach(settings: &KafkaSettings) -> Result<(), SinkError> {
    let log = ClientLog::default();
    let client: BaseConsumer<ClientLog> = settings
        .client_config()?
        .create_with_context(log.clone())
        .map_err(SettingsError::from_client)?;
    let ask = move || {
        let answer = client.fetch_metadata(Some(ANY_TOPIC), LOOKUP_TIMEOUT);
        answer.map(drop).map_err(|error| {
            // Lets the reasons that wait in the client's queue through to the log.
            while client.poll(DRAIN_TIME).is_some() {}
            explain(&error, &log)
        })
    };
    spawn_blocking(ask).await.map_err(|error| SinkError::Transport(error.to_string()))?
}

/// Creates the topic unless it exists, and checks it. `replication_factor`: the broker's own
/// default when not given. Says whether it was created.
pub async fn ensure_progress_topic(
    settings: &KafkaSettings,
    name: &str,
    replication_factor: Option<u16>,
) -> Result<bool, ProgressTopicError> {
    reach(settings).await?;
    let lookup = Arc::new(Lookup::open(settings, ClientLog::default())?);
    match check(&lookup, name).await {
        Err(ProgressTopicError::Missing) => {}
        checked => return checked.map(|()| false),
    }
    let created = create(&lookup, name, &wanted(replication_factor)).await?;
    for _ in 0..VISIBLE_ATTEMPTS {
        match check(&lookup, name).await {
            Err(ProgressTopicError::Missing) => tokio::time::sleep(VISIBLE_PAUSE).await,
            checked => return checked.map(|()| created),
        }
    }
    Err(ProgressTopicError::Missing)
}

/// Whether the topic exists and can hold progress. What may not be read is not held against it.
pub async fn check_progress_topic(
    settings: &KafkaSettings,
    name: &str,
) -> Result<(), ProgressTopicError> {
    reach(settings).await?;
    let lookup = Arc::new(Lookup::open(settings, ClientLog::default())?);
    check(&lookup, name).await
}

async fn check(lookup: &Arc<Lookup>, name: &str) -> Result<(), ProgressTopicError> {
    let topic = Arc::clone(lookup).describe(name.to_owned()).await?;
    let partitions = topic.info.partitions;
    if partitions != 1 {
        return Err(ProgressTopicError::Partitions { partitions });
    }
    match topic.cleanup_policy {
        Some(policy) if policy != "compact" => Err(ProgressTopicError::Policy { policy }),
        _ => Ok(()),
    }
}

fn wanted(replication_factor: Option<u16>) -> NewTopics {
    let entry = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    let config = TOPIC_CONFIG.iter().map(entry).collect();
    NewTopics { partitions: Some(1), replication_factor, config }
}

impl From<CreateError> for ProgressTopicError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Refused(reason) => Self::CreateRefused(reason),
            CreateError::Sink(error) => Self::Sink(error),
        }
    }
}

impl From<TopicError> for ProgressTopicError {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Unknown => Self::Missing,
            TopicError::Unauthorized => Self::Sink(SinkError::Unauthorized(error.to_string())),
            TopicError::InvalidName => Self::Sink(SinkError::Config(error.to_string())),
            TopicError::Transport(reason) => Self::Sink(SinkError::Transport(reason)),
        }
    }
}

/// A record lands every 100 ms, and only the last of each key matters: small segments let the
/// broker compact early, so that reading the topic at a start stays a matter of milliseconds.
const TOPIC_CONFIG: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    // A broker refuses what a clock that is an hour ahead has stamped.
    ("message.timestamp.type", "LogAppendTime"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("segment.bytes", "1048576"),
    ("segment.ms", "600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("max.compaction.lag.ms", "3600000"),
];

const DRAIN_TIME: Duration = Duration::from_millis(20);
const VISIBLE_ATTEMPTS: u32 = 50;
const VISIBLE_PAUSE: Duration = Duration::from_millis(100);

/// Metadata is asked for one topic, since all of them may be many. This one need not exist.
const ANY_TOPIC: &str = "outboxd.progress";
