//! What a consumer is told, and how one run of it begins and ends.

use std::future::Future;
use std::time::Duration;

use deadpool_postgres::Pool;
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use tokio_postgres::Transaction;

use super::dead_letter::DeadLetters;
use super::flight::Crew;
use super::rebalance::Context;
use super::turn::Turn;
use crate::inbox::{HandlerError, Handling, Inbox, InboxError};
use crate::message::Message;

/// A consumer of topics that handles each message once.
#[derive(Debug, Clone)]
pub struct Consumer {
    inbox: Inbox,
    config: ClientConfig,
    topics: Vec<String>,
    dead_letters: bool,
    pub(super) retry_every: Duration,
    pub(super) drain: Duration,
}

/// What ends a consumer.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    #[error("the Kafka client cannot go on")]
    Kafka(#[from] KafkaError),
    #[error("a record cannot be told from others, and there is no topic for dead letters")]
    Unidentified(#[source] InboxError),
}

impl Consumer {
    /// `config` says how to reach Kafka. The group is named as the inbox is, and begins with the
    /// first record, unless `group.id` and `auto.offset.reset` say otherwise.
    pub fn new(inbox: Inbox, config: ClientConfig, topics: &[&str]) -> Self {
        Self {
            inbox,
            config,
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            dead_letters: false,
            retry_every: RETRY_EVERY,
            drain: DRAIN,
        }
    }

    /// Sends what is dead to `<topic>.dlt`, too, and so what has no event id, which ends the
    /// consumer otherwise. The topic is not created here.
    pub fn dead_letter_topics(mut self) -> Self {
        self.dead_letters = true;
        self
    }

    /// How often the consumer looks for failed messages whose time has come. 1 s, unless set.
    pub fn retry_every(mut self, every: Duration) -> Self {
        self.retry_every = every;
        self
    }

    /// How long a handler may take to end when its partition is taken away, or at shutdown; it is
    /// rolled back then. 30 s, unless set; less than `max.poll.interval.ms`.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain = timeout;
        self
    }

    /// Consumes until `shutdown`, ends what is in flight, commits and leaves the group.
    ///
    /// Messages of a partition are handled one after the other, partitions beside each other as far
    /// as the pool has connections. A message that failed waits in the inbox, not in the partition;
    /// while a database is away the partition pauses.
    pub async fn run<E, H>(
        &self,
        pool: &Pool,
        handler: H,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ConsumerError>
    where
        E: Into<HandlerError> + Send,
        H: for<'a, 't> Fn(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, (), E>
            + Send
            + Sync,
    {
        let config = self.consumer_config();
        let group = config.get("group.id").unwrap_or_default();
        let dead_letters = self.dead_letters.then(|| DeadLetters::new(&self.config, group));
        let dead_letters = dead_letters.transpose()?;
        let (context, revoked) = Context::new();
        let consumer: StreamConsumer<Context> = config.create_with_context(context)?;
        consumer.subscribe(&self.topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        let (inbox, dead_letters) = (&self.inbox, dead_letters.as_ref());
        let crew = Crew { inbox, pool, dead_letters, handler: &handler };
        let ended = Turn::new(self, &consumer, &crew).go(revoked, shutdown).await;
        // It commits and says goodbye, which blocks.
        let closed = tokio::task::spawn_blocking(move || drop(consumer)).await;
        if let Err(error) = closed {
            tracing::error!(%error, event = "inbox.close", "close the consumer");
        }
        ended
    }

    fn consumer_config(&self) -> ClientConfig {
        let mut config = self.config.clone();
        for (key, value) in [("group.id", self.inbox.consumer()), ("auto.offset.reset", "earliest")]
        {
            if config.get(key).is_none() {
                config.set(key, value);
            }
        }
        // What is stored is committed from time to time, and before partitions are given back. Only
        // what is through is stored.
        config.set("enable.auto.commit", "true").set("enable.auto.offset.store", "false");
        config
    }
}

const RETRY_EVERY: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(30);
