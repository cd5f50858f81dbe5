//! The session to Postgres as the run loop holds it: what is being done with it right now.
//!
//! What takes time is a boxed future that owns the session, so that the loop can go on handling
//! reports meanwhile, and dropping the link ends everything at once.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;

use outboxd_core::backoff::Backoff;
use outboxd_core::lsn::Lsn;
use outboxd_core::progress::Recorded;
use outboxd_core::relay::Opened;
use outboxd_core::time::Tick;
use tokio::time::Instant;

use super::pace::Pace;
use crate::failpoints::{self, Step};
use crate::health::Phase;
use crate::link_failure::LinkFailure;
use crate::open::{Connected, Opener, Watch};
use crate::source::error::SourceError;
use crate::source::session::{PING_EVERY, ReplicationSession, State};

pub(super) struct Link {
    opener: Arc<Opener>,
    hold: Hold,
    /// What is to be done when the session is free.
    commands: VecDeque<Command>,
    backoff: Backoff,
    /// A position is on its way out.
    is_confirming: bool,
    /// There was a session before: the login is right, or was.
    was_let_in: bool,
}

/// What came of it.
pub(super) enum LinkEvent {
    /// The session is open and the lock is ours.
    Locked,
    /// Another relay has the lock; `Locked` follows when it is gone.
    StandingBy,
    Observed(Box<Opened>, Box<Watch>),
    SlotCreated(Lsn),
    Started,
    /// There may be frames.
    Read,
    Nothing,
    Failed(LinkFailure),
}

enum Hold {
    None,
    Connecting(Doing<Result<Connected, LinkFailure>>),
    /// Standing by for the lock.
    Waiting(Doing<Result<ReplicationSession, LinkFailure>>),
    /// Kept alive by a query now and then.
    Idle {
        session: Box<ReplicationSession>,
        ping_at: Instant,
    },
    Busy(Doing<(ReplicationSession, Result<Done, LinkFailure>)>),
    Streaming {
        session: Box<ReplicationSession>,
        pace: Pace,
    },
}

enum Command {
    Observe(Box<Recorded>),
    CreateSlot,
    Start,
}

enum Done {
    Pinged,
    Observed(Box<Opened>, Box<Watch>),
    SlotCreated(Lsn),
    Started,
}

type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Link {
    pub(super) fn new(opener: Arc<Opener>) -> Self {
        let (first, longest) = opener.backoff;
        let backoff = Backoff::new(first, longest);
        let commands = VecDeque::new();
        let hold = Hold::None;
        Self { opener, hold, commands, backoff, was_let_in: false, is_confirming: false }
    }

    /// Opens the next session after the back-off.
    pub(super) fn connect(&mut self, now: Tick) {
        let wait = self.backoff.attempt(now, dice());
        let (opener, was_let_in) = (Arc::clone(&self.opener), self.was_let_in);
        self.hold = Hold::Connecting(Box::pin(async move {
            tokio::time::sleep(wait).await;
            opener.connect(was_let_in).await
        }));
    }

    pub(super) fn observe(&mut self, recorded: Recorded) {
        self.command(Command::Observe(Box::new(recorded)));
    }

    pub(super) fn create_slot(&mut self) {
        self.command(Command::CreateSlot);
    }

    pub(super) fn start_stream(&mut self) {
        self.command(Command::Start);
    }

    pub(super) fn end_stream(&mut self) {
        if let Hold::Streaming { session, .. } = &mut self.hold {
            // When it cannot be sent the session is broken, which the next read tells.
            let _ = session.send_copy_done();
        }
    }

    pub(super) fn send_status(&mut self, status: &[u8]) {
        if let Hold::Streaming { session, .. } = &mut self.hold
            && session.state() == State::Streaming
        {
            let _ = session.send_status(status);
            self.is_confirming = true;
        }
    }

    pub(super) fn streaming(&mut self) -> Option<&mut ReplicationSession> {
        match &mut self.hold {
            Hold::Streaming { session, .. } => Some(session),
            _ => None,
        }
    }

    /// How far the session has come, as seen from here: whether a stream runs on it, and what for,
    /// the core knows.
    pub(super) fn phase(&self) -> Phase {
        match self.hold {
            Hold::None | Hold::Connecting(_) => Phase::Connecting,
            Hold::Waiting(_) => Phase::StandingBy,
            Hold::Idle { .. } | Hold::Busy(_) | Hold::Streaming { .. } => Phase::Opening,
        }
    }

    /// The server is ready for queries again.
    pub(super) fn stream_ended(&mut self) {
        match std::mem::replace(&mut self.hold, Hold::None) {
            Hold::Streaming { session, .. } => self.rest(*session),
            other => self.hold = other,
        }
    }

    pub(super) fn drop_session(&mut self) {
        self.hold = Hold::None;
        self.commands.clear();
    }

    /// Says good-bye, if there is somebody to hear it.
    pub(super) async fn close(&mut self) {
        self.commands.clear();
        match std::mem::replace(&mut self.hold, Hold::None) {
            Hold::Idle { session, .. } | Hold::Streaming { session, .. } => {
                session.close().await;
            }
            Hold::None | Hold::Connecting(_) | Hold::Waiting(_) | Hold::Busy(_) => {}
        }
    }

    /// Waits for the next thing to happen. Cancel safe. Reads only when there is room for frames;
    /// what is queued to be sent goes out in any case.
    pub(super) async fn event(&mut self, wants_input: bool) -> LinkEvent {
        match &mut self.hold {
            Hold::None => pending().await,
            Hold::Connecting(doing) => {
                let result = doing.await;
                self.connected(result)
            }
            Hold::Waiting(doing) => {
                let result = doing.await;
                if result.is_err() {
                    self.backoff.stand_back();
                }
                self.connected(result.map(Connected::Locked))
            }
            Hold::Idle { ping_at, .. } => {
                tokio::time::sleep_until(*ping_at).await;
                self.begin(None);
                LinkEvent::Nothing
            }
            Hold::Busy(doing) => {
                let (session, result) = doing.await;
                self.done(session, result)
            }
            Hold::Streaming { session, pace } => {
                if self.is_confirming && !session.has_unsent() {
                    self.is_confirming = false;
                    failpoints::pass(Step::Confirmed);
                }
                match read(session, pace, wants_input).await {
                    Ok(()) => LinkEvent::Read,
                    Err(error) => LinkEvent::Failed(LinkFailure::Session(error)),
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.commands.push_back(command);
        if matches!(self.hold, Hold::Idle { .. }) {
            let command = self.commands.pop_front();
            self.begin(command);
        }
    }

    fn connected(&mut self, result: Result<Connected, LinkFailure>) -> LinkEvent {
        self.was_let_in |= result.is_ok();
        match result {
            Ok(Connected::Locked(session)) => {
                self.rest(session);
                LinkEvent::Locked
            }
            Ok(Connected::Waiting(session)) => {
                let opener = Arc::clone(&self.opener);
                let waiting = async move { opener.wait_for_lock(session).await };
                self.hold = Hold::Waiting(Box::pin(waiting));
                LinkEvent::StandingBy
            }
            Err(failure) => {
                self.hold = Hold::None;
                LinkEvent::Failed(failure)
            }
        }
    }

    fn done(
        &mut self,
        session: ReplicationSession,
        result: Result<Done, LinkFailure>,
    ) -> LinkEvent {
        self.hold = Hold::None;
        match result {
            Ok(Done::Started) => {
                self.backoff.succeeded();
                let pace = Pace::default();
                self.hold = Hold::Streaming { session: Box::new(session), pace };
                LinkEvent::Started
            }
            Ok(done) => {
                self.rest(session);
                match done {
                    Done::Observed(opened, watch) => LinkEvent::Observed(opened, watch),
                    Done::SlotCreated(lsn) => LinkEvent::SlotCreated(lsn),
                    Done::Pinged | Done::Started => LinkEvent::Nothing,
                }
            }
            Err(failure) => LinkEvent::Failed(failure),
        }
    }

    /// The session is free: the next command, or none for now.
    fn rest(&mut self, session: ReplicationSession) {
        self.hold = Hold::Idle { session: Box::new(session), ping_at: Instant::now() + PING_EVERY };
        if let Some(command) = self.commands.pop_front() {
            self.begin(Some(command));
        }
    }

    /// Carries out a command, or a ping.
    fn begin(&mut self, command: Option<Command>) {
        let Hold::Idle { session, .. } = std::mem::replace(&mut self.hold, Hold::None) else {
            return;
        };
        let opener = Arc::clone(&self.opener);
        self.hold = Hold::Busy(Box::pin(async move {
            let mut session = *session;
            let result = carry_out(&opener, &mut session, command).await;
            (session, result)
        }));
    }
}

/// Reads once, when there is room for frames, and sends meanwhile.
async fn read(
    session: &mut ReplicationSession,
    pace: &mut Pace,
    wants_input: bool,
) -> Result<(), SourceError> {
    if wants_input {
        pace.rest();
    }
    let bytes = session.drive(wants_input).await?;
    pace.read(bytes, std::time::Instant::now());
    Ok(())
}

async fn carry_out(
    opener: &Opener,
    session: &mut ReplicationSession,
    command: Option<Command>,
) -> Result<Done, LinkFailure> {
    match command {
        None => Ok(session.ping().await.map(|()| Done::Pinged)?),
        Some(Command::Observe(recorded)) => {
            let (observed, watch) = opener.observe(session, recorded.progress.as_ref()).await?;
            let opened = Opened { recorded: *recorded, observed };
            Ok(Done::Observed(Box::new(opened), Box::new(watch)))
        }
        Some(Command::CreateSlot) => Ok(Done::SlotCreated(opener.create_slot(session).await?)),
        Some(Command::Start) => {
            opener.start(session).await?;
            Ok(Done::Started)
        }
    }
}

impl From<SourceError> for LinkFailure {
    fn from(error: SourceError) -> Self {
        match error.to_stop() {
            Some(stop) if !error.is_transient() => Self::Stop(stop),
            _ => Self::Session(error),
        }
    }
}

/// Each hasher has keys of its own.
fn dice() -> u32 {
    let hash = RandomState::new().hash_one(0);
    u32::try_from(hash >> 32).unwrap_or_default()
}
