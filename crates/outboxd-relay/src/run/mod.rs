//! The run loop: one task that owns the relay's state, the session and the sink.
//!
//! It only carries: what comes in goes to the core, what the core wants is done. One biased
//! `select!` waits; its branches, most urgent first:
//!
//! 1. the operator's shutdown,
//! 2. delivery reports: they free room and move the position,
//! 3. answers of look-ups (topics, the progress topic, the watch on the catalog),
//! 4. the dead-letter table: parcels that are committed, and what an operator wants,
//! 5. the session: frames when there is room for them, and whatever is to be sent,
//! 6. time.

pub(crate) mod clock;
mod letters;
mod link;
mod notes;
mod pace;
mod reports;
mod session;
mod tasks;

use std::future::Future;
use std::sync::Arc;

use outboxd_core::relay::{Output, Relay};
use outboxd_core::stop::Stop;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::clock::Stopwatch;
use self::letters::Letters;
use self::link::{Link, LinkEvent};
use self::tasks::Tasks;
use crate::health::{Phase, Publisher, Snapshot};
use crate::open::Opener;
use crate::sink::Sink;

/// A relay with its session and its sink.
pub struct Runner<S> {
    relay: Relay,
    sink: S,
    link: Link,
    tasks: Tasks,
    letters: Letters,
    opener: Arc<Opener>,
    stopwatch: Stopwatch,
    finished: Option<Result<(), Stop>>,
    publisher: Publisher,
    snapshot: Snapshot,
    published_at: Instant,
}

impl<S: Sink> Runner<S> {
    pub fn new(relay: Relay, sink: S, opener: Opener, publisher: Publisher) -> Self {
        let opener = Arc::new(opener);
        Self {
            relay,
            sink,
            link: Link::new(Arc::clone(&opener)),
            tasks: Tasks::new(Arc::clone(&opener)),
            letters: Letters::default(),
            opener,
            stopwatch: Stopwatch::start(),
            finished: None,
            publisher,
            snapshot: Snapshot::default(),
            published_at: Instant::now(),
        }
    }

    /// Runs until `shutdown` resolves and everything is drained, or until the core stops.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), Stop> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut shutting_down = false;
        self.relay.start(self.stopwatch.now());
        loop {
            self.advance();
            if let Some(outcome) = self.finished.take() {
                self.link.close().await;
                self.publish(Phase::Stopped);
                close(self.sink).await;
                return outcome;
            }
            self.publish_when_due();
            let wants_input = self.relay.wants_input();
            self.snapshot.observe_pressure(self.relay.is_streaming() && !wants_input);
            let due = self.stopwatch.instant(self.relay.poll_timeout());
            tokio::select! {
                biased;
                () = &mut shutdown, if !shutting_down => {
                    shutting_down = true;
                    self.relay.handle_shutdown(self.stopwatch.now());
                }
                () = self.sink.reports_ready() => self.take_reports(),
                answer = self.tasks.next() => self.take_answer(answer),
                news = self.letters.news() => self.take_news(news),
                event = self.link.event(wants_input) => self.take_event(event),
                () = tokio::time::sleep_until(due) => {
                    self.relay.handle_timeout(self.stopwatch.now());
                }
            }
        }
    }

    /// Everything that needs no waiting. Whatever has just happened may have let through what is held,
    /// or frames that were read and not wanted then; both may give new orders.
    fn advance(&mut self) {
        loop {
            self.carry_out();
            self.retry_held();
            self.feed();
            if !self.relay.has_output() {
                return;
            }
        }
    }

    /// Does what the core wants, in its order.
    fn carry_out(&mut self) {
        while let Some(output) = self.relay.poll_output() {
            match output {
                Output::Open => self.link.connect(self.stopwatch.now().tick),
                Output::ReadProgress => self.read_progress(tasks::Purpose::Claim),
                Output::CreateSlot => self.link.create_slot(),
                Output::StartStream => {
                    self.sink.progress_settled();
                    self.link.start_stream();
                }
                Output::EndStream => self.link.end_stream(),
                Output::CloseSession(reason) => {
                    tracing::warn!(event = "session.closed", error = %reason, "session given up");
                    self.drop_session();
                }
                Output::Status(status) => self.link.send_status(&status.encode()),
                Output::AppendProgress { key, value } => {
                    self.append_progress(&key, value.as_deref());
                }
                Output::DescribeTopic(topic) => {
                    let lookup = self.sink.describe_topic(topic.clone());
                    self.tasks.describe_topic(topic, lookup);
                }
                Output::LoadParked { acquisition, from, released } => {
                    self.load_parked(acquisition, from, &released);
                }
                Output::Park(parcel) => self.park(parcel),
                Output::Replayed { id, outcome } => self.letters.replayed(id, outcome),
                Output::ReplaceProducer => self.replace_producer(),
                Output::Rotate => self.tasks.rotate(),
                Output::Fence => self.fence(),
                Output::CommitTransaction => self.commit_transaction(),
                Output::AbandonProducer => self.abandon_producer(),
                Output::Note(note) => {
                    self.snapshot.heed(&note);
                    notes::log(&note);
                }
                Output::Finished(outcome) => self.finished = Some(outcome),
            }
        }
    }

    fn take_event(&mut self, event: LinkEvent) {
        let now = self.stopwatch.now();
        match event {
            LinkEvent::Locked => self.read_progress(tasks::Purpose::Open),
            LinkEvent::Observed(opened, watch) => {
                self.snapshot.opened(&opened.observed, watch.server_version());
                self.tasks.watch(*watch);
                self.relay.handle_opened(now, *opened);
            }
            LinkEvent::SlotCreated(consistent_point) => {
                self.relay.handle_slot_created(now, consistent_point);
            }
            LinkEvent::Started => self.snapshot.streaming_since = Some(now.unix_ms),
            LinkEvent::Read => self.relay.handle_received(now),
            LinkEvent::Nothing | LinkEvent::StandingBy => {}
            LinkEvent::Failed(error) => self.session_failed(error),
        }
    }

    fn drop_session(&mut self) {
        self.link.drop_session();
        self.tasks.forget_session();
        self.letters.forget_session();
        self.snapshot.streaming_since = None;
    }

    fn replace_producer(&mut self) {
        if let Err(error) = self.sink.replace_producer() {
            let stop = Stop::new(outboxd_core::stop::Code::Config, "no new Kafka producer")
                .detail(error.to_string());
            self.relay.handle_stop(self.stopwatch.now(), stop);
        }
    }

    /// By time and not by event: the timer alone would never be its turn in a busy drain.
    fn publish_when_due(&mut self) {
        let phase = self.phase();
        if phase != self.snapshot.phase || self.published_at.elapsed() >= PUBLISH_EVERY {
            self.publish(phase);
        }
    }

    fn publish(&mut self, phase: Phase) {
        self.snapshot.update(&mut self.relay, phase, self.stopwatch.now());
        self.publisher.publish(&mut self.snapshot);
        self.published_at = Instant::now();
    }

    fn phase(&self) -> Phase {
        if self.snapshot.is_draining() {
            Phase::Draining
        } else if self.relay.is_released() {
            Phase::Released
        } else if self.relay.is_streaming() && self.snapshot.streaming_since.is_some() {
            Phase::Streaming
        } else {
            self.link.phase()
        }
    }
}

/// Where the clock of day was turned back, a thread of librdkafka may stand still for that long: it is
/// not waited for without end. Nothing is in flight any more.
async fn close<S: Sink>(sink: S) {
    let closed = spawn_blocking(move || drop(sink));
    if tokio::time::timeout(CLOSED_WITHIN, closed).await.is_err() {
        tracing::debug!(event = "kafka.not_closed", "Kafka's client does not end in time");
    }
}

const CLOSED_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
/// With the heartbeat of a second, a snapshot is never much older than that.
const PUBLISH_EVERY: std::time::Duration = std::time::Duration::from_millis(250);
