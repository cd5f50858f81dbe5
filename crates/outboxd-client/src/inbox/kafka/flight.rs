//! One message on its way through the handler, and the sweep over what failed before.

use deadpool_postgres::Pool;
use rdkafka::error::KafkaError;
use tokio_postgres::Transaction;

use super::dead_letter::DeadLetters;
use crate::inbox::{HandlerError, Handling, Inbox, InboxError, Outcome, Source};
use crate::message::Message;

/// What the loop hands to each flight.
pub(super) struct Crew<'r, H> {
    pub(super) inbox: &'r Inbox,
    pub(super) pool: &'r Pool,
    pub(super) dead_letters: Option<&'r DeadLetters>,
    pub(super) handler: &'r H,
}

/// How a flight ended.
#[derive(Debug)]
pub(super) enum Landing {
    /// Its offset may be committed.
    Through(Message),
    /// Nothing is known of it: again, a little later.
    Again(Message),
    /// It can never be told from others.
    Unidentified(InboxError),
    Swept,
}

#[derive(Debug, thiserror::Error)]
enum Setback {
    #[error(transparent)]
    Inbox(#[from] InboxError),
    #[error("the dead letter could not be sent")]
    DeadLetter(#[from] KafkaError),
}

impl<H, E> Crew<'_, H>
where
    E: Into<HandlerError> + Send,
    H: for<'a, 't> Fn(&'a mut Transaction<'t>, &'a Message) -> Handling<'a, (), E> + Send + Sync,
{
    pub(super) async fn fly(&self, message: Message) -> Landing {
        match self.handle(&message).await {
            Ok(true) => Landing::Through(message),
            Ok(false) => Landing::Again(message),
            Err(Setback::Inbox(error @ InboxError::NoId { .. })) => Landing::Unidentified(error),
            Err(error) => {
                warn("inbox.message", &error);
                Landing::Again(message)
            }
        }
    }

    /// Tries again what failed before; errors are those of the next sweep as well.
    pub(super) async fn sweep(&self) -> Landing {
        if let Err(error) = self.retry().await {
            warn("inbox.retry", &error);
        }
        Landing::Swept
    }

    /// Forgets what is old, and prepares the coming days.
    pub(super) async fn tidy(&self) -> Landing {
        if let Err(error) = self.keep_house().await {
            warn("inbox.purge", &error.into());
        }
        Landing::Swept
    }

    /// False: not now.
    async fn handle(&self, message: &Message) -> Result<bool, Setback> {
        let outcome = match self.inbox.process(self.pool, message, self.handler).await {
            Err(error @ InboxError::NoId { .. }) => {
                let Some(dead_letters) = self.dead_letters else { return Err(error.into()) };
                dead_letters.send(message, &error.to_string()).await?;
                return Ok(true);
            }
            outcome => outcome?,
        };
        self.report_dead(message, &outcome).await?;
        Ok(outcome != Outcome::Busy)
    }

    async fn retry(&self) -> Result<(), Setback> {
        let tried = self.inbox.retry_due(self.pool, RETRIES_MAX, self.handler).await?;
        for (message, outcome) in tried {
            self.report_dead(&message, &outcome).await?;
        }
        Ok(())
    }

    async fn report_dead(&self, message: &Message, outcome: &Outcome<()>) -> Result<(), Setback> {
        let (Outcome::Dead { .. }, Some(dead_letters)) = (outcome, self.dead_letters) else {
            return Ok(());
        };
        let client = self.pool.hold().await?;
        let error = self.inbox.last_error(&client, message).await?;
        drop(client);
        Ok(dead_letters.send(message, &error.unwrap_or_default()).await?)
    }

    async fn keep_house(&self) -> Result<(), InboxError> {
        let client = self.pool.hold().await?;
        self.inbox.maintain(&client).await?;
        self.inbox.purge(&client, self.inbox.window).await?;
        Ok(())
    }
}

fn warn(event: &'static str, error: &Setback) {
    tracing::warn!(error = crate::inbox::words(error), event, "the inbox goes on later");
}

/// Of one sweep: the next one comes soon.
const RETRIES_MAX: u32 = 100;
