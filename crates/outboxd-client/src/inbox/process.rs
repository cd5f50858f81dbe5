//! A handler in one transaction with the note that its message was handled.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, Transaction};

use super::claim::Claim;
use super::decision::{AfterFailure, State, after_failure};
use super::options::Inbox;
use super::outcome::{HandlerError, InboxError, Outcome, words};
use super::rows::Unfinished;
use super::source::Source;
use crate::message::Message;

/// What a handler returns: `Box::pin(async move { … })`. Boxed, because only then can a future that
/// borrows the transaction be sent to another thread. It may borrow nothing else: what a handler needs
/// besides is moved into it, in an `Arc` for example.
pub type Handling<'a, R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send + 'a>>;

/// What came of one transaction.
pub(super) enum Attempt<R> {
    Settled(Outcome<R>),
    Failed { attempt: u32, error: HandlerError },
}

impl Inbox {
    /// Handles a message once.
    ///
    /// The handler gets the transaction in which the message is noted as handled; it is committed
    /// when the handler is done. When the handler fails, everything is rolled back and the message
    /// is written down, to be tried again. A handler whose transaction runs into a deadlock or a
    /// serialization failure is run again at once: it must have no effect outside its transaction.
    ///
    /// ```no_run
    /// # use outboxd_client::{Message, inbox::{Inbox, InboxError, Outcome}};
    /// # async fn pay(client: &mut tokio_postgres::Client, message: Message) -> Result<(), InboxError> {
    /// let inbox = Inbox::new("payments");
    /// let outcome = inbox
    ///     .process(client, &message, |tx, message| {
    ///         Box::pin(async move {
    ///             let order = message.key.as_deref();
    ///             tx.execute("insert into payments (order_id) values ($1)", &[&order]).await
    ///         })
    ///     })
    ///     .await?;
    /// assert!(matches!(outcome, Outcome::Processed(1) | Outcome::Duplicate));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn process<S, R, E, H>(
        &self,
        source: S,
        message: &Message,
        mut handler: H,
    ) -> Result<Outcome<R>, InboxError>
    where
        S: Source,
        R: Send,
        E: Into<HandlerError> + Send,
        H: for<'a, 't> FnMut(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, R, E> + Send,
    {
        let mut client = source.hold().await?;
        self.process_on(&mut client, message, &mut handler).await
    }

    pub(super) async fn process_on<R, E, H>(
        &self,
        client: &mut Client,
        message: &Message,
        handler: &mut H,
    ) -> Result<Outcome<R>, InboxError>
    where
        R: Send,
        E: Into<HandlerError> + Send,
        H: for<'a, 't> FnMut(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, R, E> + Send,
    {
        let begun = if self.count_starts {
            match self.begin(client, message).await? {
                Claim::Run { attempt } => Some(attempt),
                settled => return Ok(settled.outcome().unwrap_or(Outcome::Busy)),
            }
        } else {
            None
        };
        let mut rounds = 0;
        loop {
            rounds += 1;
            match self.attempt(client, message, begun, handler).await {
                Ok(Attempt::Settled(outcome)) => return Ok(outcome),
                Ok(Attempt::Failed { error, .. })
                    if rounds < CONTENTION_ROUNDS && is_contention(error.as_ref()) => {}
                Ok(Attempt::Failed { attempt, error }) => {
                    let words = words(error.as_ref());
                    return self.write_failure(client, message, attempt, &words).await;
                }
                Err(error) if rounds < CONTENTION_ROUNDS && is_contention(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts an attempt before it begins. Until it ends the message counts as failed.
    async fn begin(&self, client: &mut Client, message: &Message) -> Result<Claim, InboxError> {
        let id = self.identify(message)?;
        let tx = client.transaction().await?;
        let claim = self.claim(&tx, message).await?;
        if let Claim::Run { attempt: attempts } = claim {
            let delay = match after_failure(attempts, &self.retry, 1.0) {
                AfterFailure::Retry(delay) => delay,
                AfterFailure::GiveUp => self.retry.longest,
            };
            let (delay, error) = (Some(delay), Some("begun, and not ended"));
            let row = Unfinished { state: State::Failed, attempts, delay, error, claimed: true };
            self.write(&tx, id, message, &row).await?;
        }
        tx.commit().await?;
        Ok(claim)
    }

    /// One transaction, from the claim to the commit.
    async fn attempt<R, E, H>(
        &self,
        client: &mut Client,
        message: &Message,
        begun: Option<u32>,
        handler: &mut H,
    ) -> Result<Attempt<R>, InboxError>
    where
        R: Send,
        E: Into<HandlerError> + Send,
        H: for<'a, 't> FnMut(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, R, E> + Send,
    {
        let mut tx = client.transaction().await?;
        let claim = match begun {
            Some(attempt) => self.continue_begun(&tx, message, attempt).await?,
            None => self.claim(&tx, message).await?,
        };
        let Claim::Run { attempt } = claim else {
            tx.commit().await?;
            return Ok(Attempt::Settled(claim.outcome().unwrap_or(Outcome::Busy)));
        };
        match handler(&mut tx, message).await {
            Ok(done) => commit(tx, attempt, done).await,
            Err(error) => {
                // Not possible where the connection is lost: then that is what went wrong.
                tx.rollback().await?;
                Ok(Attempt::Failed { attempt, error: error.into() })
            }
        }
    }

    async fn continue_begun(
        &self,
        tx: &Transaction<'_>,
        message: &Message,
        attempt: u32,
    ) -> Result<Claim, InboxError> {
        let id = self.identify(message)?;
        let ours = self.complete_begun(tx, id, State::Failed, attempt).await?;
        Ok(if ours { Claim::Run { attempt } } else { Claim::Busy })
    }

    pub(super) async fn write_failure<R>(
        &self,
        client: &mut Client,
        message: &Message,
        attempt: u32,
        error: &str,
    ) -> Result<Outcome<R>, InboxError> {
        let tx = client.transaction().await?;
        let outcome = self.fail(&tx, message, attempt, error).await?;
        tx.commit().await?;
        Ok(match outcome {
            Outcome::Failed { attempt, retry_at } => Outcome::Failed { attempt, retry_at },
            Outcome::Dead { attempts } => Outcome::Dead { attempts },
            Outcome::Busy => Outcome::Busy,
            Outcome::Processed(()) | Outcome::Duplicate => Outcome::Duplicate,
        })
    }
}

/// A commit that the server refuses is a failure of the handler: a constraint that is looked at late.
pub(super) async fn commit<R>(
    tx: Transaction<'_>,
    attempt: u32,
    done: R,
) -> Result<Attempt<R>, InboxError> {
    match tx.commit().await {
        Ok(()) => Ok(Attempt::Settled(Outcome::Processed(done))),
        Err(error) if error.as_db_error().is_some_and(is_about_the_effect) => {
            Ok(Attempt::Failed { attempt, error: error.into() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Of the classes "integrity constraint violation", "transaction rollback" and what triggers raise.
pub(super) fn is_about_the_effect(error: &DbError) -> bool {
    ["23", "40", "P0"].iter().any(|class| error.code().code().starts_with(class))
}

/// Whether a transaction failed only because of others beside it.
pub(super) fn is_contention(error: &(dyn Error + 'static)) -> bool {
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    chain.any(|error| {
        let code = error.downcast_ref::<DbError>().map(DbError::code);
        code.is_some_and(|code| {
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
        })
    })
}

/// More than that fails like anything else, and is tried again later.
const CONTENTION_ROUNDS: u32 = 10;
