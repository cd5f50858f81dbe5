//! Whether a message is to be handled, and what is written down when that failed. Everything here runs
//! inside a transaction of the caller.

use std::time::SystemTime;

use tokio_postgres::Transaction;
use uuid::Uuid;

use super::decision::{AfterFailure, State, Verdict, after_failure, judge};
use super::options::Inbox;
use super::outcome::{InboxError, Outcome};
use super::rows::{Row, Unfinished};
use crate::message::Message;

/// Whether a message is to be handled now. Whatever it says, the transaction may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the effect depends on it"]
pub enum Claim {
    /// Handle it in this transaction: with its commit the message is through.
    Run {
        attempt: u32,
    },
    Duplicate,
    /// Its time has not come, or it waits behind another of its key. What had no row has one now.
    Wait {
        attempt: u32,
        retry_at: SystemTime,
    },
    Dead {
        attempts: u32,
    },
    Busy,
}

impl Claim {
    /// What came of the message, where it is not to be handled.
    pub(crate) fn outcome<R>(self) -> Option<Outcome<R>> {
        Some(match self {
            Self::Run { .. } => return None,
            Self::Duplicate => Outcome::Duplicate,
            Self::Wait { attempt, retry_at } => Outcome::Failed { attempt, retry_at },
            Self::Dead { attempts } => Outcome::Dead { attempts },
            Self::Busy => Outcome::Busy,
        })
    }
}

impl Inbox {
    /// Says whether a message is to be handled, and notes it as handled if so. Waits for another
    /// transaction that is handling the same message, and sees what became of it.
    pub async fn claim(
        &self,
        tx: &Transaction<'_>,
        message: &Message,
    ) -> Result<Claim, InboxError> {
        let id = self.identify(message)?;
        if let Some(retry_at) = self.behind_until(tx, id, message).await? {
            return self.claim_behind(tx, id, message, retry_at).await;
        }
        if self.is_new(tx, id, message).await? {
            return Ok(Claim::Run { attempt: 1 });
        }
        match self.look_up(tx, id).await? {
            Some(row) => self.claim_known(tx, id, message, &row).await,
            None if self.sequence_of(message).is_some() => Ok(Claim::Duplicate),
            // Purged between the two statements.
            None => Ok(Claim::Busy),
        }
    }

    /// Writes down that an attempt failed, in a transaction after the one that was rolled back. The
    /// message, with all it had, stays in the row until it is through.
    pub async fn fail(
        &self,
        tx: &Transaction<'_>,
        message: &Message,
        attempt: u32,
        error: &str,
    ) -> Result<Outcome<()>, InboxError> {
        let id = self.identify(message)?;
        let after = after_failure(attempt, &self.retry, dice());
        let (state, delay) = match after {
            AfterFailure::Retry(delay) => (State::Failed, Some(delay)),
            AfterFailure::GiveUp => (State::Dead, None),
        };
        let error = Some(error);
        let row = Unfinished { state, attempts: attempt, delay, error, claimed: false };
        if let Some(retry_at) = self.write(tx, id, message, &row).await? {
            // From now on the message is told by its row.
            self.advance(tx, message).await?;
            return Ok(match retry_at {
                Some(retry_at) => Outcome::Failed { attempt, retry_at },
                None => Outcome::Dead { attempts: attempt },
            });
        }
        self.what_others_made(tx, id).await
    }

    /// A message with others of its key ahead: it is written down, and they come first.
    async fn claim_behind(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
        retry_at: SystemTime,
    ) -> Result<Claim, InboxError> {
        if let Some(mut row) = self.look_up(tx, id).await? {
            row.known.behind = true;
            return self.claim_known(tx, id, message, &row).await;
        }
        if self.sequence_of(message).is_some() && !self.advance(tx, message).await? {
            return Ok(Claim::Duplicate);
        }
        let delay = retry_at.duration_since(SystemTime::now()).unwrap_or_default();
        let row = Unfinished {
            state: State::Failed,
            attempts: 0,
            delay: Some(delay),
            error: None,
            claimed: false,
        };
        let written = self.write(tx, id, message, &row).await?;
        match written.flatten() {
            Some(retry_at) => Ok(Claim::Wait { attempt: 0, retry_at }),
            // Somebody else was faster: what the row says is seen next time.
            None => Ok(Claim::Busy),
        }
    }

    async fn claim_known(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
        row: &Row,
    ) -> Result<Claim, InboxError> {
        let attempts = row.known.attempts;
        Ok(match judge(row.known, self.retry.attempts_max) {
            Verdict::Run { attempt } => {
                self.complete(tx, id, attempt).await?;
                Claim::Run { attempt }
            }
            Verdict::Duplicate => Claim::Duplicate,
            Verdict::Busy => Claim::Busy,
            Verdict::Dead => Claim::Dead { attempts },
            Verdict::Wait => match row.next_attempt_at {
                Some(retry_at) => Claim::Wait { attempt: attempts, retry_at },
                None => return Err(InboxError::Unreadable(id)),
            },
            Verdict::GiveUp => {
                let (state, delay) = (State::Dead, None);
                let dead = Unfinished { state, attempts, delay, error: None, claimed: true };
                self.write(tx, id, message, &dead).await?;
                Claim::Dead { attempts }
            }
        })
    }

    /// A failure that came second: another transaction has settled the message meanwhile.
    async fn what_others_made(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
    ) -> Result<Outcome<()>, InboxError> {
        let Some(row) = self.look_up(tx, id).await? else { return Ok(Outcome::Busy) };
        let attempts = row.known.attempts;
        Ok(match (row.known.state, row.next_attempt_at) {
            (State::Completed, _) => Outcome::Duplicate,
            (State::Dead, _) => Outcome::Dead { attempts },
            (State::Failed, Some(retry_at)) => Outcome::Failed { attempt: attempts, retry_at },
            (State::Failed | State::Processing, _) => Outcome::Busy,
        })
    }
}

/// Evenly from 0 to 1: the random tail of a fresh UUIDv4.
fn dice() -> f64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    f64::from((high >> 32) as u32) / f64::from(u32::MAX)
}
