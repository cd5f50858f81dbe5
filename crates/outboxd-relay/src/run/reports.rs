//! Delivery reports and the records that wait for them.

use outboxd_core::record::{Record, Token};
use outboxd_core::stop::RecordError;

use super::Runner;
use crate::failpoints::{self, Step};
use crate::sink::{ProduceError, Refusal, RefusalCause, Report, Sink};

impl<S: Sink> Runner<S> {
    pub(super) fn take_reports(&mut self) {
        let now = self.stopwatch.now();
        while let Some(report) = self.sink.next_report() {
            match report {
                Report::Acked(token) => {
                    failpoints::pass(Step::Acked);
                    self.relay.handle_ack(now, token);
                }
                Report::Refused(refusal) => self.take_refusal(*refusal),
                Report::ProgressAcked { offset } => {
                    failpoints::pass(Step::ProgressWritten);
                    self.relay.handle_progress_acked(now, offset);
                }
                Report::ProgressRefused { error } => self.relay.handle_progress_lost(now, &error),
                Report::Fatal { error } => self.relay.handle_producer_failed(now, &error),
            }
        }
        self.relay.handle_reports_end(now);
    }

    pub(super) fn append_progress(&mut self, key: &[u8], value: Option<&[u8]>) {
        if let Err(error) = self.sink.append_progress(key, value) {
            self.relay.handle_progress_lost(self.stopwatch.now(), &error.to_string());
        }
    }

    pub(super) fn retry_held(&mut self) {
        if !self.relay.is_holding() {
            return;
        }
        let now = self.stopwatch.now();
        let mut failed = None;
        let sink = &mut self.sink;
        self.relay.retry_held(now, &mut |record| hand_over(sink, &record, &mut failed));
        self.take_not_taken(failed);
    }

    pub(super) fn take_not_taken(&mut self, failed: Option<NotTaken>) {
        let Some(NotTaken { token, error }) = failed else { return };
        let now = self.stopwatch.now();
        match error.cause.kind() {
            None => {
                self.snapshot.publish_error(PRODUCER_LOST);
                self.relay.handle_lost(token, &error.error);
            }
            Some(kind) => {
                self.snapshot.publish_error(kind.as_str());
                let message = error.error;
                let unnamed = RecordError { kind, event_id: None, topic: None, key: None, message };
                self.relay.handle_refused(token, &unnamed);
            }
        }
        self.relay.handle_reports_end(now);
    }

    fn take_refusal(&mut self, refusal: Refusal) {
        let Some(kind) = refusal.cause.kind() else {
            if refusal.cause == (RefusalCause::ProducerLost { possibly_persisted: true }) {
                self.snapshot.possibly_persisted += 1;
            }
            self.snapshot.publish_error(PRODUCER_LOST);
            return self.relay.handle_lost(refusal.token, &refusal.error);
        };
        self.snapshot.publish_error(kind.as_str());
        let error = RecordError {
            kind,
            event_id: refusal.event_id,
            topic: Some(refusal.topic),
            key: refusal.key,
            message: refusal.error,
        };
        self.relay.handle_refused(refusal.token, &error);
    }
}

/// A record that the sink did not even take.
pub(super) struct NotTaken {
    token: Token,
    error: ProduceError,
}

pub(super) fn hand_over<S: Sink>(sink: &mut S, record: &Record<'_>, failed: &mut Option<NotTaken>) {
    match sink.produce(record) {
        Ok(()) => failpoints::pass(Step::Produced),
        Err(error) => *failed = Some(NotTaken { token: record.token, error }),
    }
}

/// The kind of an error that is not the record's fault.
const PRODUCER_LOST: &str = "producer_lost";
