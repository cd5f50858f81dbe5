//! When the outbox is asked to rotate its leaves: at a fixed interval, by the relay that streams.
//!
//! What is truncated, and whether it may be, is decided inside the database; nothing of a stream
//! depends on it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Note, Output, Relay};
use crate::time::{Now, Tick};

#[derive(Debug)]
pub(super) struct Rotation {
    /// `None`: never.
    every: Option<Duration>,
    /// `None`: nothing was streamed yet.
    due: Option<Tick>,
    is_running: bool,
    /// Kinds of failures that were told since it last went well.
    told: BTreeSet<String>,
}

/// Why it could not be done: `kind` is one of few, such as a SQLSTATE.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RotationFailure {
    pub kind: String,
    pub error: String,
    pub hint: Option<String>,
}

impl Rotation {
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, due: None, is_running: false, told: BTreeSet::new() }
    }

    /// Whether it is to be done now. The first time is one interval after the first stream: a relay
    /// that starts again and again does not rotate faster than it should.
    fn begin(&mut self, now: Tick) -> bool {
        let Some(every) = self.every else { return false };
        let due = *self.due.get_or_insert(now + every);
        if self.is_running || now < due {
            return false;
        }
        self.is_running = true;
        self.due = Some(now + every);
        true
    }

    /// Whether a failure is worth telling.
    fn end(&mut self, failure: Option<&RotationFailure>) -> bool {
        self.is_running = false;
        match failure {
            None => {
                self.told.clear();
                false
            }
            Some(failure) if self.told.len() < KINDS_MAX => self.told.insert(failure.kind.clone()),
            Some(_) => false,
        }
    }

    /// The answer will not come; the next stream asks when it is due again.
    pub(super) fn forget_session(&mut self) {
        self.is_running = false;
    }

    pub(super) fn timeout(&self) -> Option<Tick> {
        self.due.filter(|_| !self.is_running)
    }
}

impl Relay {
    pub(super) fn drive_rotation(&mut self, now: Now) {
        if self.may_rotate() && self.rotation.begin(now.tick) {
            self.output(Output::Rotate);
        }
    }

    pub(super) fn may_rotate(&self) -> bool {
        self.is_streaming() && self.drain.is_none()
    }

    /// The answer to [`Output::Rotate`].
    pub fn handle_rotated(&mut self, now: Now, outcome: Result<(), RotationFailure>) {
        self.observe(now);
        if self.rotation.end(outcome.as_ref().err()) {
            let Err(failure) = outcome else { return };
            self.note(Note::RotationFailed(failure));
        }
    }
}

const KINDS_MAX: usize = 100;
