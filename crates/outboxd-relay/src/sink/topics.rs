//! Looks topics up: how many partitions, which limits.
//!
//! One question, one answer: whether an unknown topic is asked for again is the caller's business.
//! A look-up creates a topic only where that is switched on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use outboxd_core::topic::{TopicError, TopicInfo};
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataBroker;
use tokio::task::spawn_blocking;

use super::SinkError;
use super::client_log::{ClientLog, Trouble};
use super::creation::{NewTopics, create};
use super::settings::{BATCH_BYTES, Credentials, KafkaSettings, SettingsError};
use super::verdict::{code_of, describe};

/// A client of its own, so that a question never waits behind records.
pub(super) struct Lookup {
    admin: Mutex<Admin>,
    settings: KafkaSettings,
    log: ClientLog,
    /// How to create a topic that does not exist; `None`: not at all.
    creation: Option<NewTopics>,
    /// The lowest `max.message.bytes` seen.
    limit_min: AtomicUsize,
}

/// And what it logs in with.
struct Admin {
    client: Arc<AdminClient<Silent>>,
    credentials: Credentials,
}

pub(super) struct Description {
    pub(super) info: TopicInfo,
    /// `None` when it may not be read.
    pub(super) cleanup_policy: Option<String>,
}

impl Lookup {
    pub(super) fn open(settings: &KafkaSettings, log: ClientLog) -> Result<Self, SinkError> {
        let admin = Mutex::new(Admin::open(settings)?);
        let (settings, limit_min) = (settings.clone(), AtomicUsize::new(usize::MAX));
        Ok(Self { admin, settings, log, creation: None, limit_min })
    }

    /// A client that logs in as the settings say now.
    pub(super) fn admin(&self) -> Result<Arc<AdminClient<Silent>>, SinkError> {
        // Nothing is left half changed by a panic.
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        if admin.credentials.are_outdated() {
            let former = std::mem::replace(&mut *admin, Admin::open(&self.settings)?);
            // Closing a client takes a moment, for which nobody should wait.
            thread::spawn(move || drop(former));
        }
        Ok(Arc::clone(&admin.client))
    }

    pub(super) fn creating(self, creation: Option<NewTopics>) -> Self {
        Self { creation, ..self }
    }

    /// What a batch may hold: brokers judge a topic's limit on the whole batch.
    pub(super) fn batch_bytes(&self) -> usize {
        let limit = self.limit_min.load(Ordering::Relaxed);
        BATCH_BYTES.min(limit.saturating_sub(BATCH_OVERHEAD_BYTES)).max(1)
    }

    pub(super) async fn describe_topic(
        self: Arc<Self>,
        topic: String,
    ) -> Result<TopicInfo, TopicError> {
        let described = Arc::clone(&self).describe(topic.clone()).await;
        match (described, &self.creation) {
            (Err(TopicError::Unknown), Some(creation)) => {
                self.create(&topic, creation).await;
                // Not every broker knows it at once; the caller asks again.
                self.describe(topic).await.map(|description| description.info)
            }
            (described, _) => described.map(|description| description.info),
        }
    }

    async fn create(&self, topic: &str, creation: &NewTopics) {
        match create(self, topic, creation).await {
            Ok(true) => tracing::info!(event = "topic.created", topic, "topic created"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(event = "topic.not_created", topic, %error, "topic not created");
            }
        }
    }

    /// With what a [`TopicInfo`] has no place for.
    pub(super) async fn describe(
        self: Arc<Self>,
        topic: String,
    ) -> Result<Description, TopicError> {
        if !is_topic_name(&topic) {
            return Err(TopicError::InvalidName);
        }
        let (asker, asked) = (Arc::clone(&self), topic.clone());
        let (partitions, broker) = spawn_blocking(move || asker.partitions(&asked))
            .await
            .map_err(|error| TopicError::Transport(error.to_string()))??;
        let config = self.topic_config(&topic, broker).await?;
        let info = topic_info(partitions, config.as_ref());
        self.learn(&info);
        let policy = config.as_ref().and_then(|config| config.get("cleanup.policy"));
        Ok(Description { info, cleanup_policy: policy.and_then(|entry| entry.value.clone()) })
    }

    fn learn(&self, info: &TopicInfo) {
        if let Some(limit) = info.max_message_bytes {
            self.limit_min.fetch_min(limit, Ordering::Relaxed);
        }
    }

    /// How many there are, and a broker to ask for more.
    fn partitions(&self, topic: &str) -> Result<(u32, Option<i32>), TopicError> {
        let admin = self.admin().map_err(|error| TopicError::Transport(error.to_string()))?;
        let metadata = admin
            .inner()
            .fetch_metadata(Some(topic), LOOKUP_TIMEOUT)
            .map_err(|error| self.topic_error(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or(TopicError::Unknown)?;
        if let Some(error) = found.error() {
            return Err(self.topic_error(&KafkaError::MetadataFetch(error.into())));
        }
        match u32::try_from(found.partitions().len()) {
            Ok(partitions) if partitions > 0 => {
                Ok((partitions, metadata.brokers().first().map(MetadataBroker::id)))
            }
            _ => Err(TopicError::Transport("the topic has no partitions yet".to_owned())),
        }
    }

    /// `None` when it may not be read, or the broker cannot tell. Any broker knows; without a
    /// choice librdkafka asks the controller, which may be away.
    async fn topic_config(
        &self,
        topic: &str,
        broker: Option<i32>,
    ) -> Result<Option<ConfigResource>, TopicError> {
        let options = AdminOptions::new().request_timeout(Some(LOOKUP_TIMEOUT)).broker_id(broker);
        let asked = [ResourceSpecifier::Topic(topic)];
        let admin = self.admin().map_err(|error| TopicError::Transport(error.to_string()))?;
        match admin.describe_configs(&asked, &options).await {
            // A refusal for one resource comes out of rdkafka as a resource without entries.
            Ok(resources) => {
                let readable = |resource: &ConfigResource| !resource.entries.is_empty();
                Ok(resources.into_iter().flatten().find(readable))
            }
            Err(KafkaError::AdminOp(
                Code::UnsupportedFeature
                | Code::UnsupportedVersion
                | Code::ClusterAuthorizationFailed
                | Code::TopicAuthorizationFailed,
            )) => Ok(None),
            Err(error) => Err(self.topic_error(&error)),
        }
    }

    fn topic_error(&self, error: &KafkaError) -> TopicError {
        match code_of(error) {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => TopicError::Unknown,
            Some(Code::TopicAuthorizationFailed) => TopicError::Unauthorized,
            Some(Code::InvalidTopic) => TopicError::InvalidName,
            _ => TopicError::Transport(self.explain(error).to_string()),
        }
    }

    /// An error with the reason for it, when one is known.
    pub(super) fn explain(&self, error: &KafkaError) -> SinkError {
        explain(error, &self.log)
    }
}

impl Admin {
    fn open(settings: &KafkaSettings) -> Result<Self, SinkError> {
        let mut config = settings.client_config()?;
        // Nobody polls this client for log lines; those kept for us would pile up.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let client = config.create_with_context(Silent).map_err(SettingsError::from_client)?;
        let credentials = Credentials::new(settings.security.clone(), config);
        Ok(Self { client: Arc::new(client), credentials })
    }
}

pub(super) fn explain(error: &KafkaError, log: &ClientLog) -> SinkError {
    if let Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) = code_of(error)
    {
        return SinkError::Unauthorized(describe(error));
    }
    match log.recent_trouble() {
        Some(Trouble::LoginRefused(reason)) => SinkError::LoginRefused(reason),
        Some(Trouble::Unreachable(reason)) => SinkError::Transport(reason),
        None => SinkError::Transport(describe(error)),
    }
}

/// Why a producer could not fence others off, or commit.
pub(super) fn explain_transaction(error: &KafkaError, log: &ClientLog) -> SinkError {
    match code_of(error) {
        Some(Code::TransactionalIdAuthorizationFailed) => {
            SinkError::Unauthorized(error.to_string())
        }
        Some(
            Code::InvalidTransactionTimeout | Code::UnsupportedVersion | Code::UnsupportedFeature,
        ) => SinkError::Config(error.to_string()),
        Some(Code::OperationTimedOut | Code::BrokerTransportFailure) => explain(error, log),
        _ => SinkError::Transport(error.to_string()),
    }
}

/// Its log lines are off, and admin clients are told no errors but those of their requests.
pub(super) struct Silent;

impl ClientContext for Silent {}

fn topic_info(partitions: u32, config: Option<&ConfigResource>) -> TopicInfo {
    let value = |name| config?.get(name)?.value.as_deref();
    TopicInfo {
        partitions,
        max_message_bytes: value("max.message.bytes").and_then(|limit| limit.parse().ok()),
        compacted: value("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
    }
}

/// Kafka's rule. librdkafka has a laxer one, and rdkafka panics where that is broken.
fn is_topic_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..")
}

pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A batch's own header, with room to spare.
const BATCH_OVERHEAD_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    use super::*;

    fn config(entries: &[(&str, &str)]) -> ConfigResource {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            source: ConfigSource::Default,
            is_read_only: false,
            is_default: true,
            is_sensitive: false,
        };
        let specifier = OwnedResourceSpecifier::Topic("t".to_owned());
        ConfigResource { specifier, entries: entries.iter().map(entry).collect() }
    }

    #[test]
    fn limits_are_read_from_the_configuration() {
        let config =
            config(&[("max.message.bytes", "1048588"), ("cleanup.policy", "compact,delete")]);
        let info = topic_info(3, Some(&config));
        let expected =
            TopicInfo { partitions: 3, max_message_bytes: Some(1_048_588), compacted: true };
        assert_eq!(info, expected);
    }

    #[test]
    fn an_unreadable_configuration_leaves_the_limits_open() {
        let info = topic_info(1, None);
        let expected = TopicInfo { partitions: 1, max_message_bytes: None, compacted: false };
        assert_eq!(info, expected);
    }

    #[test]
    fn batches_keep_to_the_lowest_limit_seen() {
        let settings = KafkaSettings::plaintext("127.0.0.1:1");
        let lookup = Lookup::open(&settings, ClientLog::default()).expect("a client");
        assert_eq!(lookup.batch_bytes(), BATCH_BYTES);
        let described = |limit: &str| topic_info(1, Some(&config(&[("max.message.bytes", limit)])));
        for (limit, batch_bytes) in [("1048588", BATCH_BYTES), ("20000", 19_872), ("50000", 19_872)]
        {
            lookup.learn(&described(limit));
            assert_eq!(lookup.batch_bytes(), batch_bytes);
        }
    }

    #[test]
    fn topic_names_follow_kafkas_rule() {
        assert!(is_topic_name("outbox.event.order-placed_V1"));
        for invalid in ["", ".", "..", "a b", "a/b", "ä", "a\0", &"x".repeat(250)] {
            assert!(!is_topic_name(invalid), "{invalid:?}");
        }
    }
}
