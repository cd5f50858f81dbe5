//! What came of a message, and what can go wrong besides.

use std::error::Error;
use std::time::SystemTime;

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a message that failed is not done"]
pub enum Outcome<R> {
    /// The effect is committed, and the message with it.
    Processed(R),
    /// It was handled before; nothing was done.
    Duplicate,
    /// The effect is rolled back and the message is written down with all it had: it is tried again
    /// after that time, when it is delivered again or by `retry_due`. `attempt` is 0 where it waits
    /// behind an earlier message of its key.
    Failed { attempt: u32, retry_at: SystemTime },
    /// It failed too often. An operator can have it tried again.
    Dead { attempts: u32 },
    /// Another process has it on lease. Deliver it again later.
    Busy,
}

/// What keeps the inbox from telling what is to become of a message. Nothing has happened to it:
/// it is to be delivered again.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    #[error("record {topic}/{partition}@{offset} has no header `id` with a UUID")]
    NoId { topic: String, partition: i32, offset: i64 },
    #[error("row of message {0} in the inbox cannot be read")]
    Unreadable(uuid::Uuid),
    #[cfg(feature = "tokio-postgres")]
    #[error("the inbox's database failed")]
    Database(#[from] tokio_postgres::Error),
    #[cfg(feature = "deadpool-postgres")]
    #[error("no connection to the inbox's database")]
    Pool(#[from] deadpool_postgres::PoolError),
}

/// The error of a handler. Whatever `?` can turn into it will do.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// The words of an error and of what caused it.
#[cfg(any(test, feature = "tokio-postgres"))]
pub(crate) fn words(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let mut words: Vec<String> = Vec::new();
    for text in chain.map(ToString::to_string) {
        // Some say what their source says.
        if words.last().is_none_or(|last| !last.ends_with(&text)) {
            words.push(text);
        }
    }
    let text: String = words.join(": ").chars().filter(|&letter| letter != '\0').collect();
    text.chars().take(ERROR_LETTERS_MAX).collect()
}

#[cfg(any(test, feature = "tokio-postgres"))]
const ERROR_LETTERS_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot charge")]
    struct Charge(#[source] std::io::Error);

    #[test]
    fn causes_are_named_and_what_postgres_refuses_is_left_out() {
        let error = Charge(std::io::Error::other("card\0 declined"));
        assert_eq!(words(&error), "cannot charge: card declined");
    }
}
