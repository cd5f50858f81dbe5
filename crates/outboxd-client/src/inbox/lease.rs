//! Effects outside the database, under a lease: at least once, and not by two at a time.
//!
//! No transaction is open while the handler runs. Whoever dies leaves a lease that ends; whoever is
//! slower than its lease may run beside another. So the other side has to recognise a repetition:
//! send it the event id as `Idempotency-Key`.

use std::future::Future;
use std::time::Duration;

use tokio_postgres::Client;

use super::claim::Claim;
use super::decision::State;
use super::options::Inbox;
use super::outcome::{HandlerError, InboxError, Outcome, words};
use super::rows::Unfinished;
use super::source::Source;
use crate::message::Message;

impl Inbox {
    /// Handles a message under a lease of that length. Connections are held only before and after
    /// the handler.
    ///
    /// Leases count attempts before they begin. [`Outcome::Busy`] says that another process holds
    /// the lease, or has taken it over meanwhile: then the effect has happened here as well.
    pub async fn process_leased<S, R, E, H, F>(
        &self,
        source: impl Fn() -> S + Send,
        message: &Message,
        lease: Duration,
        handler: H,
    ) -> Result<Outcome<R>, InboxError>
    where
        S: Source,
        R: Send,
        E: Into<HandlerError> + Send,
        H: FnOnce() -> F + Send,
        F: Future<Output = Result<R, E>> + Send,
    {
        let claim = {
            let mut client = source().hold().await?;
            self.take_lease(&mut client, message, lease).await?
        };
        let Claim::Run { attempt } = claim else {
            return Ok(claim.outcome().unwrap_or(Outcome::Busy));
        };
        let result = handler().await.map_err(|error| words(error.into().as_ref()));
        let mut client = source().hold().await?;
        match result {
            Ok(done) => Ok(match self.end_lease(&mut client, message, attempt).await? {
                true => Outcome::Processed(done),
                false => Outcome::Busy,
            }),
            Err(error) => self.write_failure(&mut client, message, attempt, &error).await,
        }
    }

    async fn take_lease(
        &self,
        client: &mut Client,
        message: &Message,
        lease: Duration,
    ) -> Result<Claim, InboxError> {
        let id = self.identify(message)?;
        let tx = client.transaction().await?;
        let claim = self.claim(&tx, message).await?;
        if let Claim::Run { attempt: attempts } = claim {
            let (state, delay) = (State::Processing, Some(lease));
            let row = Unfinished { state, attempts, delay, error: None, claimed: true };
            self.write(&tx, id, message, &row).await?;
        }
        tx.commit().await?;
        Ok(claim)
    }

    async fn end_lease(
        &self,
        client: &mut Client,
        message: &Message,
        attempt: u32,
    ) -> Result<bool, InboxError> {
        let id = self.identify(message)?;
        let tx = client.transaction().await?;
        let ours = self.complete_begun(&tx, id, State::Processing, attempt).await?;
        tx.commit().await?;
        Ok(ours)
    }
}
