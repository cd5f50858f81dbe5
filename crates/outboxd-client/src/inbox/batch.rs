//! Many messages in one transaction, a savepoint for each: one bad one spoils nothing.

use std::collections::HashSet;
use std::error::Error;

use tokio_postgres::{Client, Transaction};

use super::claim::Claim;
use super::options::Inbox;
use super::outcome::{HandlerError, InboxError, Outcome, words};
use super::process::{Handling, is_about_the_effect, is_contention};
use super::source::Source;
use crate::message::Message;

/// What is known of a message before the transaction is committed.
enum Slot<R> {
    Settled(Outcome<R>),
    /// Its savepoint is rolled back; written down after the commit.
    Failed {
        attempt: u32,
        error: String,
    },
    /// Its key has failed in this batch, or the batch as a whole: it comes after that, by itself.
    Later,
}

impl Inbox {
    /// Handles messages in their order and in one transaction: one commit for all of them. What
    /// comes back is in the order of the messages.
    ///
    /// A handler that fails is rolled back to its savepoint, and the others go on. Where the commit
    /// itself is refused, each message is handled in a transaction of its own. Attempts are counted
    /// as they fail, not as they begin, whatever `count_starts` says. With a watermark each message
    /// has its own transaction from the start: one that is put off would lie behind it.
    pub async fn process_batch<S, R, E, H>(
        &self,
        source: S,
        messages: &[Message],
        mut handler: H,
    ) -> Result<Vec<Outcome<R>>, InboxError>
    where
        S: Source,
        R: Send,
        E: Into<HandlerError> + Send,
        H: for<'a, 't> FnMut(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, R, E> + Send,
    {
        let mut client = source.hold().await?;
        let one_by_one = || messages.iter().map(|_| Slot::Later).collect();
        let slots = if self.watermark {
            one_by_one()
        } else {
            match self.batch(&mut client, messages, &mut handler).await {
                Ok(slots) => slots,
                Err(error) if concerns_one(&error) => one_by_one(),
                Err(error) => return Err(error),
            }
        };
        let mut outcomes = Vec::with_capacity(messages.len());
        for (slot, message) in slots.into_iter().zip(messages) {
            outcomes.push(match slot {
                Slot::Settled(outcome) => outcome,
                Slot::Failed { attempt, error } => {
                    self.write_failure(&mut client, message, attempt, &error).await?
                }
                Slot::Later => self.process_on(&mut client, message, &mut handler).await?,
            });
        }
        Ok(outcomes)
    }

    async fn batch<R, E, H>(
        &self,
        client: &mut Client,
        messages: &[Message],
        handler: &mut H,
    ) -> Result<Vec<Slot<R>>, InboxError>
    where
        R: Send,
        E: Into<HandlerError> + Send,
        H: for<'a, 't> FnMut(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, R, E> + Send,
    {
        let mut tx = client.transaction().await?;
        let mut slots = Vec::with_capacity(messages.len());
        let mut failed_keys = HashSet::new();
        for message in messages {
            let key = self.order_of(message).map(|key| (message.topic.as_str(), key));
            if key.is_some_and(|key| failed_keys.contains(&key)) {
                slots.push(Slot::Later);
                continue;
            }
            let slot = self.one_of_batch(&mut tx, message, handler).await?;
            if let (Slot::Failed { .. } | Slot::Later, Some(key)) = (&slot, key) {
                failed_keys.insert(key);
            }
            slots.push(slot);
        }
        tx.commit().await?;
        Ok(slots)
    }

    async fn one_of_batch<R, E, H>(
        &self,
        tx: &mut Transaction<'_>,
        message: &Message,
        handler: &mut H,
    ) -> Result<Slot<R>, InboxError>
    where
        R: Send,
        E: Into<HandlerError> + Send,
        H: for<'a, 't> FnMut(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, R, E> + Send,
    {
        let mut savepoint = tx.transaction().await?;
        let claim = self.claim(&savepoint, message).await?;
        let Claim::Run { attempt } = claim else {
            savepoint.commit().await?;
            return Ok(Slot::Settled(claim.outcome().unwrap_or(Outcome::Busy)));
        };
        match handler(&mut savepoint, message).await {
            Ok(done) => {
                savepoint.commit().await?;
                Ok(Slot::Settled(Outcome::Processed(done)))
            }
            Err(error) => {
                let error = error.into();
                let contended = is_contention(error.as_ref());
                savepoint.rollback().await?;
                // Locks of the whole transaction were in the way: it is better tried by itself.
                if contended {
                    return Ok(Slot::Later);
                }
                Ok(Slot::Failed { attempt, error: words(error.as_ref()) })
            }
        }
    }
}

/// Whether the transaction as a whole failed by something that a single message may be spared.
fn concerns_one(error: &InboxError) -> bool {
    let InboxError::Database(database) = error else { return false };
    let error: &(dyn Error + 'static) = error;
    is_contention(error) || database.as_db_error().is_some_and(is_about_the_effect)
}
