//! An inbox and its settings.

#[cfg(feature = "tokio-postgres")]
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::decision::Retry;
use super::outcome::InboxError;
#[cfg(feature = "tokio-postgres")]
use super::statements::Statements;
use crate::message::Message;

/// What one consumer has handled. Cheap to clone; starts nothing by itself.
#[derive(Debug, Clone)]
pub struct Inbox {
    pub(crate) consumer: String,
    pub(crate) retry: Retry,
    pub(crate) window: Duration,
    pub(crate) order_by_key: bool,
    pub(crate) count_starts: bool,
    pub(crate) watermark: bool,
    #[cfg(feature = "tokio-postgres")]
    pub(crate) statements: Arc<Statements>,
}

impl Inbox {
    /// The name tells consumers of one database apart: two of them each handle every message.
    pub fn new(consumer: &str) -> Self {
        Self {
            consumer: consumer.to_owned(),
            retry: Retry::default(),
            window: WINDOW,
            order_by_key: true,
            count_starts: false,
            watermark: false,
            #[cfg(feature = "tokio-postgres")]
            statements: Arc::new(Statements::new("inbox")),
        }
    }

    /// How often a message is tried before it is dead. 5, unless set; at least 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.retry.attempts_max = attempts.clamp(1, i32::MAX.unsigned_abs());
        self
    }

    /// The delay after the first failure, which doubles with each further one, and the longest.
    /// 1 s and 5 min, unless set.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.retry.first, self.retry.longest) = (first.min(DELAY_MAX), longest.min(DELAY_MAX));
        self
    }

    /// Waits anything between nothing and the delay, so that messages which failed together are not
    /// tried again together.
    pub fn jitter(mut self) -> Self {
        self.retry.jitter = true;
        self
    }

    /// How long handled messages are remembered: longer than a topic keeps them, or than a consumer
    /// may be away. 7 days, unless set; a day at least.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window.max(DAY);
        self
    }

    /// Messages of a key do not wait for an earlier one that failed. Unless set, they do.
    pub fn unordered(mut self) -> Self {
        self.order_by_key = false;
        self
    }

    /// Counts an attempt before it begins, in a transaction of its own, so that a message that kills
    /// the process is dead after `max_attempts` deaths. Costs that transaction for each message.
    pub fn count_starts(mut self) -> Self {
        self.count_starts = true;
        self
    }

    /// Remembers the sequence of the last message of each partition in place of each message's id.
    /// Only for topics that one relay writes: what comes with a lower sequence is a duplicate.
    pub fn watermark(mut self) -> Self {
        self.watermark = true;
        self
    }

    /// The schema of the tables. `inbox`, unless set.
    #[cfg(feature = "tokio-postgres")]
    pub fn schema(mut self, schema: &str) -> Self {
        self.statements = Arc::new(Statements::new(schema));
        self
    }

    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    pub(crate) fn identify(&self, message: &Message) -> Result<Uuid, InboxError> {
        message.id().ok_or_else(|| InboxError::NoId {
            topic: message.topic.clone(),
            partition: message.partition,
            offset: message.offset,
        })
    }

    /// The sequence by which a message is told, where it is not told by its id.
    pub(crate) fn sequence_of<'m>(&self, message: &'m Message) -> Option<&'m str> {
        if !self.watermark || message.is_replay() {
            return None;
        }
        message.sequence()
    }

    /// The key behind whose earlier messages a message waits.
    pub(crate) fn order_of<'m>(&self, message: &'m Message) -> Option<&'m [u8]> {
        message.key.as_deref().filter(|_| self.order_by_key)
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Far from what a timestamp cannot hold.
const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
