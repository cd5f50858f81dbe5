//! The rows of the inbox: claiming a message, writing down that it failed, forgetting old ones.
//!
//! Everything here runs inside a transaction of the caller, in one round trip for each statement.

use std::time::{Duration, SystemTime};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::decision::{AfterFailure, Known, State, Verdict, after_failure, judge};
use super::header_json;
use super::options::Inbox;
use super::outcome::{InboxError, Outcome};
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

/// What a purge has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub leaves_emptied: i32,
    pub leaves_dropped: i32,
    pub rows_deleted: i64,
}

/// A row to be written for a message that is not through.
pub(super) struct Unfinished<'a> {
    pub(super) state: State,
    pub(super) attempts: u32,
    pub(super) delay: Option<Duration>,
    pub(super) error: Option<&'a str>,
    /// The row is ours whatever it says, because this transaction has claimed it.
    pub(super) claimed: bool,
}

struct Row {
    known: Known,
    next_attempt_at: Option<SystemTime>,
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

    /// Forgets completed messages that are older than that, a day at least: in [`Self::window`]
    /// most of them. What is not through is kept. All consumers of the schema are concerned.
    pub async fn purge(&self, client: &Client, older_than: Duration) -> Result<Purged, InboxError> {
        let seconds = older_than.as_secs_f64();
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&seconds, Type::FLOAT8)];
        let rows = client.query_typed(&self.statements.purge, &parameters).await?;
        let row = rows.first().ok_or(InboxError::Unreadable(Uuid::nil()))?;
        Ok(Purged {
            leaves_emptied: row.try_get(0)?,
            leaves_dropped: row.try_get(1)?,
            rows_deleted: row.try_get(2)?,
        })
    }

    /// Makes the leaves of the coming days; how many there were to make. Without them everything
    /// goes on, but old messages are deleted one by one.
    pub async fn maintain(&self, client: &Client) -> Result<i32, InboxError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&DAYS_AHEAD, Type::INT4)];
        let rows = client.query_typed(&self.statements.maintain, &parameters).await?;
        Ok(rows.first().ok_or(InboxError::Unreadable(Uuid::nil()))?.try_get(0)?)
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

    /// Notes a message that was never seen as handled; false when it was seen.
    async fn is_new(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
    ) -> Result<bool, InboxError> {
        if self.sequence_of(message).is_some() {
            return self.advance(tx, message).await;
        }
        let inserted = tx
            .execute_typed(
                &self.statements.insert_completed,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&message.topic, Type::TEXT),
                    (&message.partition, Type::INT4),
                    (&message.offset, Type::INT8),
                ],
            )
            .await?;
        Ok(inserted > 0)
    }

    /// Moves the watermark to a message; false when it lies behind already, or is told by its id.
    async fn advance(&self, tx: &Transaction<'_>, message: &Message) -> Result<bool, InboxError> {
        let Some(sequence) = self.sequence_of(message) else { return Ok(false) };
        let advanced = tx
            .execute_typed(
                &self.statements.advance_watermark,
                &[
                    (&self.consumer, Type::TEXT),
                    (&message.topic, Type::TEXT),
                    (&message.partition, Type::INT4),
                    (&sequence, Type::TEXT),
                ],
            )
            .await?;
        Ok(advanced > 0)
    }

    /// When those of its key that come first may be tried again; `None` when there are none.
    async fn behind_until(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
    ) -> Result<Option<SystemTime>, InboxError> {
        let Some(key) = self.order_of(message) else { return Ok(None) };
        let rows = tx
            .query_typed(
                &self.statements.is_behind,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&message.topic, Type::TEXT),
                    (&key, Type::BYTEA),
                ],
            )
            .await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.flatten())
    }

    async fn look_up(&self, tx: &Transaction<'_>, id: Uuid) -> Result<Option<Row>, InboxError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.consumer, Type::TEXT), (&id, Type::UUID)];
        let rows = tx.query_typed(&self.statements.look_up, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let state = State::parse(row.try_get("state")?).ok_or(InboxError::Unreadable(id))?;
        let attempts: i32 = row.try_get("attempts")?;
        let known = Known {
            state,
            attempts: u32::try_from(attempts).unwrap_or_default(),
            due: row.try_get("due")?,
            behind: false,
        };
        Ok(Some(Row { known, next_attempt_at: row.try_get("next_attempt_at")? }))
    }

    async fn complete(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        attempt: u32,
    ) -> Result<(), InboxError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.consumer, Type::TEXT), (&id, Type::UUID), (&integer(attempt), Type::INT4)];
        tx.execute_typed(&self.statements.complete, &parameters).await?;
        Ok(())
    }

    /// Completes what an earlier transaction of the same process has begun; false when somebody
    /// else has begun it again since.
    pub(super) async fn complete_begun(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        state: State,
        attempt: u32,
    ) -> Result<bool, InboxError> {
        let completed = tx
            .execute_typed(
                &self.statements.complete_begun,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&state.as_str(), Type::TEXT),
                    (&integer(attempt), Type::INT4),
                ],
            )
            .await?;
        Ok(completed > 0)
    }

    /// Writes a row; `None` when what is there says more. Otherwise the time that it has.
    pub(super) async fn write(
        &self,
        tx: &Transaction<'_>,
        id: Uuid,
        message: &Message,
        row: &Unfinished<'_>,
    ) -> Result<Option<Option<SystemTime>>, InboxError> {
        let headers = header_json::to_json(&message.headers);
        let rows = tx
            .query_typed(
                &self.statements.write,
                &[
                    (&self.consumer, Type::TEXT),
                    (&id, Type::UUID),
                    (&row.state.as_str(), Type::TEXT),
                    (&integer(row.attempts), Type::INT4),
                    (&row.delay.map(|delay| delay.as_secs_f64()), Type::FLOAT8),
                    (&message.topic, Type::TEXT),
                    (&message.partition, Type::INT4),
                    (&message.offset, Type::INT8),
                    (&row.error, Type::TEXT),
                    (&message.value, Type::BYTEA),
                    (&headers, Type::JSONB),
                    (&message.key, Type::BYTEA),
                    (&message.timestamp_ms.and_then(time_of), Type::TIMESTAMPTZ),
                    (&row.claimed, Type::BOOL),
                ],
            )
            .await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
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

fn integer(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// `None` where Postgres, too, would have to give up.
fn time_of(milliseconds: i64) -> Option<SystemTime> {
    let milliseconds = u64::try_from(milliseconds).ok().filter(|&value| value < YEAR_9999_MS)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

/// Evenly from 0 to 1: the random tail of a fresh UUIDv4.
fn dice() -> f64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    f64::from((high >> 32) as u32) / f64::from(u32::MAX)
}

const DAYS_AHEAD: i32 = 3;
const YEAR_9999_MS: u64 = 253_370_764_800_000;
