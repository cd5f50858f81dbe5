//! `status`: how a relay is doing, seen from outside.
//!
//! Read from the server and the progress topic, so that it works with no relay running, and says
//! so. Positions are exact; the lag in seconds is an estimate, because nobody records when a
//! position of the write-ahead log came to be.

mod lag;
mod observe;
mod render;

use std::time::Duration;

use outboxd_core::gate::Slot;
use outboxd_core::lsn::Lsn;

use crate::control::{ControlError, ControlSession};
use crate::dead_letters::operator::Parked;
pub use lag::{Commit, Recorded};
use observe::Observed;
pub(crate) use observe::is_locked;
pub(crate) use render::bytes;

/// Which relay is meant, and what its progress topic says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// `source.name`
    pub name: String,
    pub slot: String,
    pub database: String,
    /// `None`: nothing is recorded, or the topic could not be read.
    pub recorded: Option<Recorded>,
}

/// What `status --json` prints. Fields are added, never renamed or removed.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StatusReport {
    pub name: String,
    pub slot: String,
    pub database: String,
    /// A relay holds the lock of this name, streaming or not.
    pub active: bool,
    pub streaming: bool,
    /// End of the write-ahead log.
    pub wal_end: Lsn,
    /// What the slot has confirmed.
    pub confirmed: Option<Lsn>,
    /// What the progress topic says; never behind `confirmed`.
    pub recorded: Option<Lsn>,
    pub lag_bytes: Option<u64>,
    pub lag_seconds: Option<f64>,
    pub slot_health: SlotHealth,
    /// `None`: there is no dead-letter table, or it may not be read.
    pub parked: Option<Parked>,
}

#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct SlotHealth {
    pub exists: bool,
    /// Why it cannot be used any more.
    pub lost: Option<String>,
    pub wal_status: Option<String>,
    pub retained_wal_bytes: Option<i64>,
    /// How much more may be written before the slot is lost; `None`: without limit.
    pub safe_wal_bytes: Option<i64>,
}

impl StatusReport {
    pub async fn read(session: &ControlSession, question: &Question) -> Result<Self, ControlError> {
        let observed = Observed::read(session, question).await?;
        Ok(Self::new(question, observed))
    }

    fn new(question: &Question, observed: Observed) -> Self {
        let Observed { slot, wal_end, now_ms, locked, parked } = observed;
        let streaming = slot.as_ref().is_some_and(|slot| slot.active_pid.is_some());
        let confirmed = slot.as_ref().and_then(|slot| slot.confirmed);
        let recorded = question.recorded.as_ref();
        let position = recorded.map(|recorded| recorded.position).or(confirmed);
        let lag_bytes = position.map(|position| wal_end.bytes_since(position));
        Self {
            name: question.name.clone(),
            slot: question.slot.clone(),
            database: question.database.clone(),
            active: locked || streaming,
            streaming,
            wal_end,
            confirmed,
            recorded: recorded.map(|recorded| recorded.position),
            lag_bytes,
            lag_seconds: lag::seconds(lag_bytes, recorded, now_ms),
            slot_health: SlotHealth::new(slot),
            parked,
        }
    }

    /// What is wrong, in sentences; empty when nothing is.
    pub fn problems(&self, fail_if_lag: Option<Duration>) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.slot_health.exists {
            problems.push(format!("slot {} does not exist", self.slot));
        }
        if let Some(reason) = &self.slot_health.lost {
            problems.push(format!("slot {} is lost: {reason}", self.slot));
        }
        if !self.active {
            problems.push("no relay is active".to_owned());
        }
        problems.extend(fail_if_lag.and_then(|limit| self.lag_problem(limit)));
        problems
    }

    /// 3 when there are problems.
    pub fn exit_code(&self, fail_if_lag: Option<Duration>) -> u8 {
        if self.problems(fail_if_lag).is_empty() { 0 } else { 3 }
    }

    fn lag_problem(&self, limit: Duration) -> Option<String> {
        match self.lag_seconds {
            Some(lag) if lag <= limit.as_secs_f64() => None,
            Some(lag) => Some(format!("the lag of {lag:.1} s is above {} s", limit.as_secs_f64())),
            None => Some("the lag is not known: no progress is recorded".to_owned()),
        }
    }
}

impl SlotHealth {
    fn new(slot: Option<Slot>) -> Self {
        let exists = slot.is_some();
        match slot {
            Some(Slot { lost, wal_status, retained_wal_bytes, safe_wal_bytes, .. }) => {
                Self { exists, lost, wal_status, retained_wal_bytes, safe_wal_bytes }
            }
            None => Self {
                exists,
                lost: None,
                wal_status: None,
                retained_wal_bytes: None,
                safe_wal_bytes: None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
