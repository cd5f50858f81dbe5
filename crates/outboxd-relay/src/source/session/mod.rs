//! A replication session: a query session that can be turned into a stream and back.
//!
//! ```text
//!         query                    start                    send_copy_done
//!   ┌──────────────┐         ┌───────────────▶ Streaming ──────────────────┐
//!   ▼              │         │                                             ▼
//! Querying ─────▶ Idle ──────┘◀──────────── ReadyForQuery ────────────── Ending
//! ```
//!
//! One task owns a session and does both directions with it: waiting for data sends what is queued.
//! All waiting while streaming is cancel safe. A query is not: one that was dropped half-way leaves
//! the session in `Querying`, which refuses everything from then on.

mod lock;
pub(in super::super::source) mod query;
mod replication;
mod timeline;

use std::time::Duration;

use bytes::BytesMut;
use outboxd_core::relay::silence_max;
use postgres_protocol::message::frontend::{self, CopyData};
use tokio::time::timeout;

use super::connect::{Connected, connect};
use super::error::SourceError;
use super::frame::{BackendFrame, Row};
use super::framer::Framer;
use super::params::ConnectParams;
use super::server_error::ServerError;
use super::socket::Socket;
pub use super::startup::{ServerInfo, SessionOptions};
pub use replication::{ExportedSlot, Identity};

/// A walsender connection, logged in.
#[derive(Debug)]
pub struct ReplicationSession {
    framer: Framer<Socket>,
    info: ServerInfo,
    state: State,
    /// How long an answer may take that costs the server nothing.
    patience: Duration,
    /// A stream of this session was ended by CopyDone; see [`Self::start`].
    spent: bool,
    /// What the server remarked before the stream began. Delivered at its start.
    early_notices: Vec<ServerError>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    Idle,
    Querying,
    Streaming,
    /// We have ended the stream, and the server is not ready for a query yet.
    Ending,
}

impl ReplicationSession {
    /// Connects to the first of the hosts that will do.
    pub async fn connect(
        params: &ConnectParams,
        options: SessionOptions,
    ) -> Result<Self, SourceError> {
        let Connected { framer, info } = connect(params, options).await?;
        let patience = silence_max(options.wal_sender_timeout);
        let (state, early_notices) = (State::Idle, Vec::new());
        Ok(Self { framer, info, state, patience, spent: false, early_notices })
    }

    pub fn server(&self) -> &ServerInfo {
        &self.info
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Runs SQL or a replication command that is answered at once; the rows are in text. A server
    /// that stays silent is given up.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<Row>, SourceError> {
        self.query_within(self.patience, sql).await
    }

    /// One that takes its time by nature.
    async fn query_within(&mut self, after: Duration, sql: &str) -> Result<Vec<Row>, SourceError> {
        match timeout(after, self.patient_query(sql)).await {
            Ok(result) => result,
            // An answer that comes now would be taken for that of the next query: the state says so.
            Err(_) => Err(SourceError::Unanswered { after }),
        }
    }

    /// One of which nobody knows how long it takes.
    async fn patient_query(&mut self, sql: &str) -> Result<Vec<Row>, SourceError> {
        self.require(State::Idle, "query")?;
        self.state = State::Querying;
        let result = query::query(&mut self.framer, sql).await;
        if is_ready_after(&result) {
            self.state = State::Idle;
        }
        result
    }

    /// Keeps an idle session from being ended by `idle_session_timeout`, done every [`PING_EVERY`].
    pub async fn ping(&mut self) -> Result<(), SourceError> {
        self.simple_query("select 1").await.map(drop)
    }

    /// Reads once, and sends what is queued meanwhile.
    pub async fn fill(&mut self) -> Result<usize, SourceError> {
        self.framer.fill().await
    }

    /// [`Self::fill`] when `read` is set. Else only sends, and waits for ever once there is nothing
    /// to send: the one branch of a `select!` that serves a reader with and without room.
    pub async fn drive(&mut self, read: bool) -> Result<usize, SourceError> {
        self.framer.drive(read).await
    }

    /// Something that was queued has not gone out.
    pub fn has_unsent(&self) -> bool {
        self.framer.has_unsent()
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> Result<(), SourceError> {
        self.framer.flush().await
    }

    /// The next message of what has been read. [`BackendFrame::ReadyForQuery`] ends the stream; the
    /// session can be queried again.
    pub fn next_frame(&mut self) -> Result<Option<BackendFrame<'_>>, SourceError> {
        if let Some(notice) = self.early_notices.pop() {
            return Ok(Some(BackendFrame::Notice(Box::new(notice))));
        }
        let frame = self.framer.next_frame()?;
        if let Some(BackendFrame::ReadyForQuery) = frame {
            self.state = State::Idle;
        }
        Ok(frame)
    }

    /// Queues a standby status. Sent by the next [`Self::drive`], [`Self::fill`] or
    /// [`Self::flush`].
    pub fn send_status(&mut self, status: &[u8]) -> Result<(), SourceError> {
        self.require(State::Streaming, "send a status")?;
        self.framer.send(|out| copy_data(status, out))
    }

    /// Queues the end of the stream. The server's own CopyDone, CommandComplete and ReadyForQuery
    /// follow, behind whatever was on its way.
    pub fn send_copy_done(&mut self) -> Result<(), SourceError> {
        self.require(State::Streaming, "end the stream")?;
        self.state = State::Ending;
        self.spent = true;
        self.framer.send(copy_done)
    }

    /// Says good-bye, so that the server does not log a lost connection, and closes.
    pub async fn close(mut self) {
        let queued = self.framer.send(|out| {
            frontend::terminate(out);
            Ok(())
        });
        if queued.is_ok() {
            // Whether the server hears it changes nothing for us.
            let _ = timeout(GOOD_BYE, self.framer.flush()).await;
        }
    }

    fn require(&self, wanted: State, operation: &'static str) -> Result<(), SourceError> {
        if self.state == wanted {
            return Ok(());
        }
        Err(SourceError::Misuse { operation, state: self.state.as_str() })
    }
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Querying => "busy with a query",
            Self::Streaming => "streaming",
            Self::Ending => "ending its stream",
        }
    }
}

/// An error of a statement leaves a session usable; any other error does not.
fn is_ready_after<T>(result: &Result<T, SourceError>) -> bool {
    match result {
        Ok(_) => true,
        Err(SourceError::Server(error)) => !query::is_fatal(&error.severity),
        Err(_) => false,
    }
}

fn copy_data(bytes: &[u8], out: &mut BytesMut) -> std::io::Result<()> {
    CopyData::new(bytes)?.write(out);
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of what the framer calls")]
fn copy_done(out: &mut BytesMut) -> std::io::Result<()> {
    frontend::copy_done(out);
    Ok(())
}

/// A third of the `idle_session_timeout` that the session asks for.
pub const PING_EVERY: Duration = Duration::from_secs(5);
const GOOD_BYE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
