//! Look-ups that run beside the loop: topics, the progress topic, the watch on the catalog.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use outboxd_core::relay::RotationFailure;
use outboxd_core::topic::{TopicError, TopicInfo};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::{Runner, notes};
use crate::failpoints::{self, Step};
use crate::link_failure::LinkFailure;
use crate::open::{Opener, Seen, Watch};
use crate::rotation::{self, Rotated};
use crate::sink::{
    Committed, Extent, LOGIN_HINT, ProgressRead, Sink, SinkError, UNREACHABLE_HINT, stop,
};

pub(super) struct Tasks {
    set: JoinSet<Answer>,
    /// Those that belong to the present session.
    of_session: Vec<AbortHandle>,
    /// The one that the producer is busy with.
    of_producer: Option<AbortHandle>,
    /// Kafka has answered this process: a login that it refuses now may be one that was changed.
    was_let_in: bool,
    /// Wakes the watch of the present session.
    rotation_wanted: Arc<Notify>,
    opener: Arc<Opener>,
}

/// Why the progress topic is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// Before the gate.
    Open,
    /// After our claim.
    Claim,
}

pub(super) enum Answer {
    Topic(String, Result<TopicInfo, TopicError>),
    Progress(Purpose, Result<ProgressRead, SinkError>),
    Fenced(Result<(), SinkError>),
    Committed(Result<Committed, SinkError>),
    Watched(Box<Watch>, Result<Seen, String>),
    /// A task was aborted.
    None,
}

impl Tasks {
    pub(super) fn new(opener: Arc<Opener>) -> Self {
        Self {
            set: JoinSet::new(),
            of_session: Vec::new(),
            of_producer: None,
            was_let_in: false,
            rotation_wanted: Arc::default(),
            opener,
        }
    }

    pub(super) fn describe_topic(
        &mut self,
        topic: String,
        lookup: impl Future<Output = Result<TopicInfo, TopicError>> + Send + 'static,
    ) {
        self.set.spawn(async move { Answer::Topic(topic, lookup.await) });
    }

    /// Goes on with the session that looks at the catalog. It does one thing at a time.
    pub(super) fn watch(&mut self, mut watch: Watch) {
        let rotation_wanted = Arc::clone(&self.rotation_wanted);
        let task = self.set.spawn(async move {
            let result = watch.next(&rotation_wanted).await;
            Answer::Watched(Box::new(watch), result)
        });
        self.of_session.push(task);
    }

    /// By the watch, which runs beside the stream.
    pub(super) fn rotate(&self) {
        self.rotation_wanted.notify_one();
    }

    pub(super) fn forget_producer(&mut self) {
        if let Some(task) = self.of_producer.take() {
            task.abort();
        }
    }

    pub(super) fn forget_session(&mut self) {
        self.rotation_wanted = Arc::default();
        for task in self.of_session.drain(..) {
            task.abort();
        }
    }

    /// The next answer. Cancel safe.
    pub(super) async fn next(&mut self) -> Answer {
        let Some(answer) = self.set.join_next().await else {
            return std::future::pending().await;
        };
        self.of_session.retain(|task| !task.is_finished());
        answer.unwrap_or(Answer::None)
    }

    fn read_progress(
        &mut self,
        purpose: Purpose,
        after: Duration,
        read: impl Future<Output = Result<ProgressRead, SinkError>> + Send + 'static,
    ) {
        let task = self.set.spawn(async move {
            tokio::time::sleep(after).await;
            Answer::Progress(purpose, read.await)
        });
        self.of_session.push(task);
    }
}

impl<S: Sink> Runner<S> {
    pub(super) fn read_progress(&mut self, purpose: Purpose) {
        let read = self.sink.read_progress(purpose.extent());
        self.tasks.read_progress(purpose, Duration::ZERO, read);
    }

    pub(super) fn fence(&mut self) {
        let fence = self.sink.fence();
        let task = self.tasks.set.spawn(async move { Answer::Fenced(fence.await) });
        self.tasks.of_producer = Some(task);
    }

    pub(super) fn commit_transaction(&mut self) {
        let commit = self.sink.commit();
        let task = self.tasks.set.spawn(async move { Answer::Committed(commit.await) });
        self.tasks.of_producer = Some(task);
    }

    pub(super) fn abandon_producer(&mut self) {
        self.tasks.forget_producer();
        self.sink.abandon();
    }

    pub(super) fn take_answer(&mut self, answer: Answer) {
        let now = self.stopwatch.now();
        match answer {
            Answer::Topic(topic, answer) => {
                let info = answer.as_ref().ok();
                let outdated = info.and_then(|info| self.sink.outdated_by(&topic, info));
                self.relay.handle_topic(now, &topic, answer);
                if let Some(why) = outdated {
                    self.relay.handle_producer_retired(now, why);
                }
            }
            Answer::Progress(purpose, result) => self.take_progress(purpose, result),
            Answer::Fenced(Ok(())) => self.relay.handle_fenced(now),
            Answer::Committed(Ok(Committed { is_doubtful })) => {
                failpoints::pass(Step::TransactionCommitted);
                let doubt = is_doubtful.then_some("a commit may have been sent twice");
                self.relay.handle_committed(now, doubt);
            }
            Answer::Fenced(Err(error)) | Answer::Committed(Err(error)) => {
                self.transaction_failed(&error);
            }
            Answer::Watched(watch, Ok(Seen::Watched(watched))) => {
                self.snapshot.watched(&watched);
                match self.tasks.opener.judge(&watched) {
                    Ok(()) => self.tasks.watch(*watch),
                    Err(stop) => self.relay.handle_stop(now, stop),
                }
            }
            Answer::Watched(watch, Ok(Seen::Rotated(outcome))) => {
                self.take_rotation(outcome);
                self.tasks.watch(*watch);
            }
            Answer::Watched(_, Err(error)) => {
                self.session_failed(LinkFailure::Control { error, hint: None });
            }
            Answer::None => {}
        }
    }

    fn take_rotation(&mut self, outcome: Result<Vec<Rotated>, RotationFailure>) {
        match &outcome {
            Ok(rotated) => {
                for one in rotated {
                    self.snapshot.rotated(one.label());
                    notes::log_rotated(one);
                }
            }
            Err(_) => self.snapshot.rotated(rotation::FAILED),
        }
        self.relay.handle_rotated(self.stopwatch.now(), outcome.map(drop));
    }

    fn transaction_failed(&mut self, error: &SinkError) {
        let now = self.stopwatch.now();
        match error {
            // It was let in before: progress was read.
            SinkError::Transport(error) | SinkError::LoginRefused(error) => {
                self.relay.handle_transaction_failed(now, error);
            }
            _ => self.relay.handle_stop(now, stop::no_transactions(error)),
        }
    }

    fn take_progress(&mut self, purpose: Purpose, result: Result<ProgressRead, SinkError>) {
        let now = self.stopwatch.now();
        let read = match result {
            Ok(read) => {
                self.tasks.was_let_in = true;
                read
            }
            Err(SinkError::LoginRefused(error)) if self.tasks.was_let_in => {
                return self.read_again(purpose, &error, LOGIN_HINT);
            }
            Err(SinkError::Transport(error)) => {
                return self.read_again(purpose, &error, UNREACHABLE_HINT);
            }
            Err(error) => return self.relay.handle_stop(now, stop::no_progress(&error)),
        };
        match (purpose, read.recorded()) {
            (Purpose::Open, Ok(recorded)) => self.link.observe(recorded),
            (Purpose::Claim, Ok(recorded)) => {
                self.relay.handle_reread(now, recorded, read.high_watermark);
            }
            (_, Err(error)) => self.relay.handle_stop(now, stop::unreadable(&error)),
        }
    }

    fn read_again(&mut self, purpose: Purpose, error: &str, hint: &str) {
        tracing::warn!(event = "progress.unreadable", error, hint, "progress topic: trying again");
        let again = self.sink.read_progress(purpose.extent());
        self.tasks.read_progress(purpose, READ_AGAIN, again);
    }
}

impl Purpose {
    /// Before the fence another relay's transaction may be open, and nothing ends it but the fence.
    fn extent(self) -> Extent {
        match self {
            Self::Open => Extent::Readable,
            Self::Claim => Extent::Written,
        }
    }
}

const READ_AGAIN: Duration = Duration::from_secs(1);
