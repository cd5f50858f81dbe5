//! What one sink has in flight, and what becomes of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use outboxd_core::record::{Record, Token};
use tokio::sync::Notify;

use super::{MemoryBroker, MemoryRecord};
use crate::sink::{ProduceError, Refusal, RefusalCause, Report};

/// The remote control of a [`super::MemorySink`].
pub struct MemoryProducer {
    broker: MemoryBroker,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Records and progress wait for the test's decision.
    held: bool,
    dead: bool,
    pending: BTreeMap<Token, MemoryRecord>,
    pending_progress: Option<(Vec<u8>, Option<Vec<u8>>)>,
    reports: VecDeque<Report>,
}

impl MemoryProducer {
    pub(super) fn new(broker: MemoryBroker) -> Self {
        Self { broker, state: Mutex::default(), changed: Notify::new() }
    }

    /// From now on nothing is acknowledged unless told.
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Acknowledges what is in flight, and from now on everything at once.
    pub fn release(&self) {
        self.state().held = false;
        self.ack_all();
    }

    /// What was handed over and not decided, oldest first.
    pub fn in_flight(&self) -> Vec<MemoryRecord> {
        self.state().pending.values().cloned().collect()
    }

    pub fn has_progress_in_flight(&self) -> bool {
        self.state().pending_progress.is_some()
    }

    /// Writes this record. Panics when it is not in flight.
    pub fn ack(&self, token: Token) {
        let record = self.state().pending.remove(&token).expect("the record is in flight");
        self.broker.write(record);
        self.report(Report::Acked(token));
    }

    /// Writes the progress record. Panics when none is in flight.
    pub fn ack_progress(&self) {
        let (key, value) = self.state().pending_progress.take().expect("progress is in flight");
        let offset = self.broker.write_progress(&key, value.as_deref());
        self.report(Report::ProgressAcked { offset: Some(offset) });
    }

    pub fn ack_all(&self) {
        let tokens: Vec<Token> = self.state().pending.keys().copied().collect();
        tokens.into_iter().for_each(|token| self.ack(token));
        if self.has_progress_in_flight() {
            self.ack_progress();
        }
    }

    /// Refuses this record and nothing else. Panics when it is not in flight.
    pub fn refuse(&self, token: Token, cause: RefusalCause) {
        let record = self.state().pending.remove(&token).expect("the record is in flight");
        self.report(refusal(record, cause));
    }

    /// Panics when no progress is in flight.
    pub fn refuse_progress(&self, error: &str) {
        self.state().pending_progress.take().expect("progress is in flight");
        self.report(Report::ProgressRefused { error: error.to_owned() });
    }

    /// The producer dies, as one without gaps does after a refusal. What is in flight is lost.
    pub fn fail(&self, error: &str) {
        self.state().dead = true;
        self.report(Report::Fatal { error: error.to_owned() });
        let lost = std::mem::take(&mut self.state().pending);
        let cause = RefusalCause::ProducerLost { possibly_persisted: true };
        lost.into_values().for_each(|record| self.report(refusal(record, cause)));
        if self.has_progress_in_flight() {
            self.refuse_progress(error);
        }
    }

    pub(super) fn take(&self, record: &Record<'_>) -> Result<(), ProduceError> {
        let held = self.admit()?;
        let former = self.state().pending.insert(record.token, MemoryRecord::new(record));
        assert!(former.is_none(), "a token is used twice");
        if !held {
            self.ack(record.token);
        }
        Ok(())
    }

    pub(super) fn take_progress(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ProduceError> {
        let held = self.admit()?;
        let progress = (key.to_vec(), value.map(<[u8]>::to_vec));
        let former = self.state().pending_progress.replace(progress);
        assert!(former.is_none(), "two progress records in flight");
        if !held {
            self.ack_progress();
        }
        Ok(())
    }

    pub(super) fn next_report(&self) -> Option<Report> {
        self.state().reports.pop_front()
    }

    pub(super) async fn reports_ready(&self) {
        while self.state().reports.is_empty() {
            // A change between the look and the wait is kept as a permit.
            self.changed.notified().await;
        }
    }

    pub(super) fn revive(&self) {
        self.state().dead = false;
    }

    /// Says whether the test decides.
    fn admit(&self) -> Result<bool, ProduceError> {
        let state = self.state();
        if state.dead {
            let cause = RefusalCause::ProducerLost { possibly_persisted: false };
            return Err(ProduceError { cause, error: "the producer is dead".to_owned() });
        }
        Ok(state.held)
    }

    fn report(&self, report: Report) {
        self.state().reports.push_back(report);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(record: MemoryRecord, cause: RefusalCause) -> Report {
    let event_id = record.header("id").map(|id| String::from_utf8_lossy(id).into_owned());
    Report::Refused(Box::new(Refusal {
        token: record.token,
        cause,
        error: format!("{cause:?}"),
        event_id,
        topic: record.topic,
        key: record.key,
    }))
}
