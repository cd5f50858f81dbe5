//! What is known of a Kafka topic.

/// Read from the cluster's metadata and the topic's configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicInfo {
    pub partitions: u32,
    /// `max.message.bytes` of the topic; `None` when its configuration may not be read.
    pub max_message_bytes: Option<usize>,
    /// `cleanup.policy` contains `compact`: records need a key.
    pub compacted: bool,
}

/// Why a topic could not be described.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TopicError {
    /// Every broker that was asked says it does not exist.
    #[error("unknown topic")]
    Unknown,
    #[error("not authorised for the topic")]
    Unauthorized,
    #[error("invalid topic name")]
    InvalidName,
    /// No answer: ask again.
    #[error("no answer from the brokers: {0}")]
    Transport(String),
}
