//! Creating a topic: the progress topic, and topics for events where that is switched on.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::SinkError;
use super::topics::Lookup;
use super::verdict::code_of;

/// How to create a topic. What is not given is the broker's default.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewTopics {
    pub partitions: Option<u32>,
    pub replication_factor: Option<u16>,
    pub config: BTreeMap<String, String>,
}

/// The topic was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("the broker does not create it: {0}")]
    Refused(String),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Says whether it was us, and not somebody else just before.
pub(super) async fn create(
    lookup: &Lookup,
    name: &str,
    wanted: &NewTopics,
) -> Result<bool, CreateError> {
    let number = |wanted: Option<i32>| wanted.unwrap_or(BROKER_DEFAULT);
    let partitions = number(wanted.partitions.and_then(|count| i32::try_from(count).ok()));
    let copies = number(wanted.replication_factor.map(i32::from));
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(copies));
    for (key, value) in &wanted.config {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(CREATE_TIMEOUT))
        .operation_timeout(Some(CREATE_TIMEOUT));
    let results = lookup.admin()?.create_topics([&topic], &options).await;
    let results = results.map_err(|error| create_error(lookup, &error))?;
    match results.into_iter().next() {
        Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(create_error(lookup, &KafkaError::AdminOp(code))),
        Some(Ok(_)) | None => Ok(true),
    }
}

fn create_error(lookup: &Lookup, error: &KafkaError) -> CreateError {
    match code_of(error) {
        Some(
            code @ (Code::PolicyViolation
            | Code::InvalidConfig
            | Code::InvalidReplicationFactor
            | Code::InvalidTopic
            | Code::InvalidRequest
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature),
        ) => CreateError::Refused(code.to_string()),
        _ => CreateError::Sink(lookup.explain(error)),
    }
}

const BROKER_DEFAULT: i32 = -1;
const CREATE_TIMEOUT: Duration = Duration::from_secs(15);
