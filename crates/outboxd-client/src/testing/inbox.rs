//! An inbox in memory, around the state that handlers change.
//!
//! The state stands for the database: a handler that fails leaves it as it was. Nothing runs at the
//! same time and no process dies, so there are no leases, and starts need not be counted.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::inbox::decision::{AfterFailure, Known, Verdict, after_failure, is_past, judge};
use crate::inbox::{HandlerError, Inbox, InboxError, Outcome, State};
use crate::message::Message;

/// An inbox with the state behind it.
#[derive(Debug, Clone)]
pub struct MemoryInbox<T> {
    inbox: Inbox,
    state: T,
    rows: HashMap<Uuid, Row>,
    watermarks: BTreeMap<(String, i32), String>,
    now: SystemTime,
    rows_written: u64,
}

#[derive(Debug, Clone)]
struct Row {
    state: State,
    attempts: u32,
    next_attempt_at: SystemTime,
    message: Message,
    /// Its place in the order of its key.
    number: u64,
}

/// As in the database: a message to handle now, or what came of it.
enum Claim<R> {
    Run { attempt: u32 },
    Settled(Outcome<R>),
}

impl<T: Clone> MemoryInbox<T> {
    /// With the settings of that inbox. Time stands still until [`Self::advance`].
    pub fn new(inbox: Inbox, state: T) -> Self {
        Self {
            inbox,
            state,
            rows: HashMap::new(),
            watermarks: BTreeMap::new(),
            now: SystemTime::UNIX_EPOCH,
            rows_written: 0,
        }
    }

    /// What handlers have made of it.
    pub fn state(&self) -> &T {
        &self.state
    }

    pub fn advance(&mut self, time: Duration) {
        self.now += time;
    }

    /// State and attempts of a message.
    pub fn row(&self, id: Uuid) -> Option<(State, u32)> {
        self.rows.get(&id).map(|row| (row.state, row.attempts))
    }

    /// As [`Inbox::process`].
    pub fn process<R, E: Into<HandlerError>>(
        &mut self,
        message: &Message,
        handler: impl FnOnce(&mut T, &Message) -> Result<R, E>,
    ) -> Result<Outcome<R>, InboxError> {
        let id = self.inbox.identify(message)?;
        let attempt = match self.claim(id, message) {
            Claim::Run { attempt } => attempt,
            Claim::Settled(outcome) => return Ok(outcome),
        };
        let mut changed = self.state.clone();
        match handler(&mut changed, message) {
            Ok(done) => {
                self.state = changed;
                self.complete(id, message, attempt);
                Ok(Outcome::Processed(done))
            }
            Err(_) => Ok(self.fail(id, message, attempt)),
        }
    }

    /// As [`Inbox::retry_due`].
    pub fn retry_due<R, E: Into<HandlerError>>(
        &mut self,
        limit: usize,
        mut handler: impl FnMut(&mut T, &Message) -> Result<R, E>,
    ) -> Result<Vec<(Message, Outcome<R>)>, InboxError> {
        let mut due: Vec<&Row> =
            self.rows.iter().filter(|row| self.is_due(row)).map(|(_, row)| row).collect();
        due.sort_by_key(|row| (row.next_attempt_at, row.number));
        let due: Vec<_> = due.into_iter().take(limit).map(|row| row.message.clone()).collect();
        let tried = due.into_iter().map(|message| {
            let outcome = self.process(&message, &mut handler)?;
            Ok((message, outcome))
        });
        tried.collect()
    }

    fn is_due(&self, (id, row): &(&Uuid, &Row)) -> bool {
        row.state == State::Failed
            && row.next_attempt_at <= self.now
            && self.behind_until(**id, &row.message).is_none()
    }

    fn claim<R>(&mut self, id: Uuid, message: &Message) -> Claim<R> {
        let behind_until = self.behind_until(id, message);
        if let Some(row) = self.rows.get(&id) {
            let known = Known {
                state: row.state,
                attempts: row.attempts,
                due: row.next_attempt_at <= self.now,
                behind: behind_until.is_some(),
            };
            let attempts = row.attempts;
            let waits = Outcome::Failed { attempt: attempts, retry_at: row.next_attempt_at };
            return match judge(known, self.inbox.retry.attempts_max) {
                Verdict::Run { attempt } => Claim::Run { attempt },
                Verdict::Duplicate => Claim::Settled(Outcome::Duplicate),
                Verdict::Wait => Claim::Settled(waits),
                Verdict::Busy => Claim::Settled(Outcome::Busy),
                Verdict::Dead => Claim::Settled(Outcome::Dead { attempts }),
                Verdict::GiveUp => {
                    self.write(id, message, State::Dead, attempts, self.now);
                    Claim::Settled(Outcome::Dead { attempts })
                }
            };
        }
        if self.is_behind_watermark(message) {
            return Claim::Settled(Outcome::Duplicate);
        }
        let Some(retry_at) = behind_until else { return Claim::Run { attempt: 1 } };
        self.write(id, message, State::Failed, 0, retry_at);
        self.move_watermark(message);
        Claim::Settled(Outcome::Failed { attempt: 0, retry_at })
    }

    /// When those of its key that come first may be tried again.
    fn behind_until(&self, id: Uuid, message: &Message) -> Option<SystemTime> {
        let key = self.inbox.order_of(message)?;
        let own = self.rows.get(&id).map(|row| row.number);
        let ahead = self.rows.values().filter(|row| {
            row.state == State::Failed
                && row.message.topic == message.topic
                && row.message.key.as_deref() == Some(key)
                && own.is_none_or(|own| row.number < own)
        });
        ahead.map(|row| row.next_attempt_at).max()
    }

    fn is_behind_watermark(&self, message: &Message) -> bool {
        let Some(sequence) = self.inbox.sequence_of(message) else { return false };
        let watermark = self.watermarks.get(&(message.topic.clone(), message.partition));
        !is_past(watermark.map(String::as_str), sequence)
    }

    fn move_watermark(&mut self, message: &Message) {
        let Some(sequence) = self.inbox.sequence_of(message) else { return };
        if !self.is_behind_watermark(message) {
            let place = (message.topic.clone(), message.partition);
            self.watermarks.insert(place, sequence.to_owned());
        }
    }

    fn complete(&mut self, id: Uuid, message: &Message, attempt: u32) {
        // What the watermark tells needs no row, unless it has one.
        if self.inbox.sequence_of(message).is_none() || self.rows.contains_key(&id) {
            self.write(id, message, State::Completed, attempt, self.now);
        }
        self.move_watermark(message);
    }

    fn fail<R>(&mut self, id: Uuid, message: &Message, attempt: u32) -> Outcome<R> {
        self.move_watermark(message);
        match after_failure(attempt, &self.inbox.retry, 1.0) {
            AfterFailure::Retry(delay) => {
                let retry_at = self.now + delay;
                self.write(id, message, State::Failed, attempt, retry_at);
                Outcome::Failed { attempt, retry_at }
            }
            AfterFailure::GiveUp => {
                self.write(id, message, State::Dead, attempt, self.now);
                Outcome::Dead { attempts: attempt }
            }
        }
    }

    fn write(
        &mut self,
        id: Uuid,
        message: &Message,
        state: State,
        attempts: u32,
        next_attempt_at: SystemTime,
    ) {
        let number = self.rows.get(&id).map_or(self.rows_written, |row| row.number);
        self.rows_written += 1;
        let row = Row { state, attempts, next_attempt_at, message: message.clone(), number };
        self.rows.insert(id, row);
    }
}
