//! The relay's state machine: what the server, Kafka, the clock and the operator say goes in, what
//! is to be done comes out.
//!
//! The shell feeds one input at a time by a `handle_*` method and then drains
//! [`Relay::poll_output`]. Nothing here waits, connects or looks at a clock.
//!
//! A session goes through these steps, each entered by an input:
//!
//! ```text
//! Closed ─opened─▶ Settling ─▶ Claiming ─acked─▶ Rereading ─▶ (CreatingSlot ─▶) Recording ─▶ Loading ─▶ Streaming
//!   ▲                                                                                         │  ▲
//!   └───────────────────────────── closed, from anywhere ◀──────────── Ending ◀───────────────┘  │
//!                                                                        └──▶ Released ──────────┘
//! ```
//!
//! In exactly-once mode it is Settling ─▶ Fencing ─▶ Rereading ─▶ Claiming: the fence comes first.
//!
//! The window, the producer's state and what is known of topics outlive sessions; in exactly-once mode
//! only the latter does.

mod batch;
mod delivery;
mod drain;
mod opening;
mod output;
mod place;
mod replay;
mod rotation;
mod silence;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod timers;
mod transactions;

use std::collections::VecDeque;
use std::time::Duration;

use self::batch::Batch;
pub use self::batch::TransactionLimits;
use self::drain::Drain;
pub use self::opening::Opened;
use self::opening::Opening;
pub use self::output::{CloseReason, Note, Output};
use self::replay::Turn;
pub use self::replay::{Replay, Replayed};
use self::rotation::Rotation;
pub use self::rotation::RotationFailure;
pub use self::silence::silence_max;
pub use self::stats::{Sample, Stats};
use self::stream::After;
pub use self::stream::Emit;
use crate::gate::Rules;
use crate::ledger::Ledger;
use crate::lsn::Lsn;
use crate::mapping::Mapper;
use crate::parking::{self, Parking};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::time::{Now, Tick};
use crate::topics::{OnPartitionsChanged, Topics};
use crate::trial::Trials;
use crate::window::{Durable, Limits, Window};

/// What the relay is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    pub rules: Rules,
    pub goal: Goal,
    pub limits: Limits,
    pub parking: parking::Rules,
    pub on_partitions_changed: OnPartitionsChanged,
    /// Exactly-once mode.
    pub transactions: Option<TransactionLimits>,
    /// At least once: how many events may be handed to Kafka beyond the last durable progress record: the most
    /// that a kill can repeat.
    pub unrecorded_events_max: u64,
    /// Time between two progress records while events flow.
    pub progress_interval: Duration,
    pub wal_sender_timeout: Duration,
    pub release_after: Duration,
    pub drain_timeout: Duration,
    /// How often the outbox is to rotate its leaves; `None`: others see to that.
    pub rotate_every: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Goal {
    /// Until told to stop.
    Run,
    /// Until everything that the server had written at the start is durable.
    Once,
    /// Until the position is recorded: slot and progress exist, nothing is streamed.
    SetUp,
}

#[derive(Debug)]
pub struct Relay {
    settings: Settings,
    mapper: Mapper,
    window: Window,
    topics: Topics,
    parking: Parking,
    trials: Trials,
    /// The parked event that is being published.
    turn: Option<Turn>,
    /// Rows whose event a committed transaction has published, and of which the table does not know.
    released: Vec<i64>,
    /// In exactly-once mode.
    batch: Option<Batch>,
    ledger: Ledger,
    session: Session,
    /// What the progress records of this acquisition have in common; set by the claim.
    owner: Option<Progress>,
    /// The last claims, to know them again when their openings were interrupted. Whether and in
    /// which order they were written is not known.
    claimed: VecDeque<Progress>,
    producer: Producer,
    held: Held,
    drain: Option<Drain>,
    rotation: Rotation,
    outputs: VecDeque<Output>,
    stats: Stats,
    /// The position that is reported to the server: that of the last durable progress record.
    confirmed: Lsn,
    /// The highest position received from the server.
    received: Lsn,
    /// How many records were durable at the last durable progress record.
    recorded_records: u64,
    /// For [`Goal::Once`].
    target: Option<Lsn>,
    clock: Clock,
}

#[derive(Debug)]
enum Session {
    /// None, or being opened by the shell.
    Closed,
    Opening(Box<Opening>),
    Streaming,
    /// CopyDone was sent; what still arrives is ignored.
    Ending {
        since: Tick,
        after: After,
    },
    /// The session and its lock are kept, nothing is streamed: Kafka does not answer, and a server
    /// that wants to shut down must not wait for us.
    Released {
        since: Tick,
    },
    /// Over for good.
    Finished,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Producer {
    Alive,
    /// Its reports are still coming; nothing more is handed to it.
    Failed,
    /// All reports are in and the next one is ordered, but the caller has not got so far: what it
    /// were handed now would still go to this one.
    Outgoing,
}

/// The insert that has to wait for a topic or a lane, as it came from the server.
#[derive(Debug, Default)]
struct Held {
    is_full: bool,
    /// When to try again though nothing else happens.
    until: Option<Tick>,
    body: Vec<u8>,
}

/// When things happened last.
#[derive(Debug, Default)]
struct Clock {
    input: Tick,
    /// When the server was heard, or could not be because nothing was read.
    heard: Tick,
    /// When everything that time brings was last looked at.
    driven: Tick,
    /// Since when a report or an answer has been awaited without a break.
    awaiting_since: Option<Tick>,
    status: Tick,
    position: Tick,
    /// The server asked for a reply: record an idle position soon.
    idle_advance_wanted: bool,
}

impl Relay {
    pub fn new(settings: Settings, mapper: Mapper) -> Self {
        let window = Window::new(settings.limits, Durable::default());
        let parking = Parking::new(settings.parking);
        let topics = Topics::new(settings.on_partitions_changed);
        let batch = settings.transactions.map(Batch::new);
        let stats = Stats::new(batch.is_some());
        let rotation = Rotation::new(settings.rotate_every);
        Self {
            settings,
            mapper,
            window,
            topics,
            parking,
            trials: Trials::default(),
            turn: None,
            released: Vec::new(),
            batch,
            ledger: Ledger::default(),
            session: Session::Closed,
            owner: None,
            claimed: VecDeque::new(),
            producer: Producer::Alive,
            held: Held::default(),
            drain: None,
            rotation,
            outputs: VecDeque::new(),
            stats,
            confirmed: Lsn::ZERO,
            received: Lsn::ZERO,
            recorded_records: 0,
            target: None,
            clock: Clock::default(),
        }
    }

    /// Asks for the first session.
    pub fn start(&mut self, now: Now) {
        self.clock.input = now.tick;
        self.output(Output::Open);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if matches!(output, Some(Output::ReplaceProducer)) {
            self.producer = Producer::Alive;
        }
        output
    }

    /// Whether there is anything to carry out.
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Whether the next frame may be read. Otherwise the socket is left alone: back-pressure.
    pub fn wants_input(&self) -> bool {
        matches!(self.session, Session::Ending { .. })
            || (self.is_streaming() && self.may_hand_out() && !self.held.is_full)
    }

    pub fn is_streaming(&self) -> bool {
        matches!(self.session, Session::Streaming)
    }

    /// The lock and the progress topic are ours.
    pub fn is_active(&self) -> bool {
        self.owner.is_some() && !matches!(self.session, Session::Closed | Session::Finished)
    }

    /// The walsender session is open and nothing is streamed on it: it has to be kept alive.
    pub fn is_released(&self) -> bool {
        matches!(self.session, Session::Released { .. })
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    pub fn parking(&self) -> &Parking {
        &self.parking
    }

    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    pub fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    pub fn received(&self) -> Lsn {
        self.received
    }

    /// The operator wants it to end: nothing more is read, what is in flight is waited for.
    pub fn handle_shutdown(&mut self, now: Now) {
        self.observe(now);
        self.begin_drain(now, Ok(()));
        self.drive(now);
    }

    /// The session is gone, or could not be opened. The shell opens the next one after its
    /// back-off, when [`Output::Open`] comes out.
    pub fn handle_closed(&mut self, now: Now) {
        self.observe(now);
        if matches!(self.session, Session::Finished) {
            return;
        }
        self.forget_session();
        if self.drain.is_none() {
            self.output(Output::Open);
        }
        self.drive(now);
    }

    /// Something no restart would cure was found by the shell.
    pub fn handle_stop(&mut self, now: Now, stop: Stop) {
        self.observe(now);
        self.begin_drain(now, Err(stop));
        self.drive(now);
    }

    fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn note(&mut self, note: Note) {
        self.output(Output::Note(note));
    }

    /// Lost records count as handed out already: reading them again needs no room below the cap.
    fn may_hand_out(&self) -> bool {
        let unrecorded = self.window.handed_out() - self.recorded_records;
        let may_be_repeated = match &self.batch {
            Some(batch) => batch.takes_records(),
            None => self.window.lost() > 0 || unrecorded < self.settings.unrecorded_events_max,
        };
        self.drain.is_none()
            && self.producer == Producer::Alive
            && self.turn.as_ref().is_none_or(Turn::is_acked)
            && self.window.has_room()
            && may_be_repeated
    }

    /// Ends the session from our side and starts over. Where there is none, the next is already
    /// being opened.
    fn close(&mut self, reason: CloseReason) {
        if matches!(self.session, Session::Closed) {
            return;
        }
        self.output(Output::CloseSession(reason));
        self.forget_session();
        if self.drain.is_none() {
            self.output(Output::Open);
        }
    }

    /// Somebody else writes to the progress topic.
    fn disown(&mut self) {
        self.owner = None;
        self.claimed.clear();
        self.ledger.disown();
    }

    fn forget_session(&mut self) {
        self.session = Session::Closed;
        self.leave_batch();
        for token in self.parking.forget_session() {
            self.window.lose(token);
        }
        self.forget_replay();
        self.rotation.forget_session();
        if !self.ledger.is_owned() {
            // A claim is worth nothing without the lock that went with the session.
            self.ledger.disown();
        }
        self.restart_stream_state();
    }

    /// The server starts again at the confirmed position: with new Relation frames, and with what
    /// was held, because its change was not dealt with.
    fn restart_stream_state(&mut self) {
        self.window.restart();
        self.mapper.reset();
        self.held.is_full = false;
    }
}
