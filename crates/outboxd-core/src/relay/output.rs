//! What the relay wants done.

use std::fmt;

use super::{Replayed, RotationFailure};
use crate::headers::Sequence;
use crate::ledger::ForeignWriter;
use crate::lsn::Lsn;
use crate::parking::Parcel;
use crate::stop::Stop;
use crate::topic::TopicError;
use crate::window::Partial;
use crate::wire::StatusUpdate;

#[derive(Debug)]
pub enum Output {
    /// Connect, take the lock, read the progress topic and look at the server. Answered by
    /// `handle_opened`, or `handle_closed` when it fails.
    Open,
    /// Read the progress topic once more: `handle_reread`.
    ReadProgress,
    /// Create the slot: `handle_slot_created`.
    CreateSlot,
    /// START_REPLICATION at 0/0; frames follow.
    StartStream,
    /// CopyDone: `handle_stream_ended` when the server has answered.
    EndStream,
    /// Drop the session. No answer.
    CloseSession(CloseReason),
    /// Write the row of an event that is not sent: `handle_parked` when it is committed.
    Park(Box<Parcel>),
    /// Take over the dead-letter table and read it: `handle_loaded`.
    /// `released`: rows whose event was published, and which may not say so.
    LoadParked { acquisition: u64, from: Sequence, released: Vec<i64> },
    /// What became of a row that was to be published: record it, then `handle_resolved`.
    Replayed { id: i64, outcome: Replayed },
    /// Report positions to the server.
    Status(StatusUpdate),
    /// Append to the progress topic: `handle_progress_acked` or `handle_progress_lost`.
    AppendProgress { key: Vec<u8>, value: Option<Vec<u8>> },
    /// Look a topic up: `handle_topic`.
    DescribeTopic(String),
    /// Build a new producer. Every report of the old one has been handled.
    ReplaceProducer,
    /// Exactly-once mode: build a producer, and shut out all others of this relay's name:
    /// `handle_fenced`, or `handle_transaction_failed`.
    Fence,
    /// Commit the transaction. All its reports are in: `handle_committed`, or
    /// `handle_transaction_failed`.
    CommitTransaction,
    /// Abort the transaction and throw the producer away. The reports of what it holds follow.
    AbandonProducer,
    /// Have the outbox rotate its leaves, beside the stream: `handle_rotated`.
    Rotate,
    /// To be logged.
    Note(Note),
    /// It is over. Last output.
    Finished(Result<(), Stop>),
}

/// Why a session is given up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CloseReason {
    /// The bytes of the server make no sense.
    Protocol(String),
    /// We were stopped for so long that the server may have given the slot to another relay.
    Frozen {
        for_ms: u64,
    },
    /// The server does not answer any more.
    Silent {
        for_ms: u64,
    },
    ForeignWriter(ForeignWriter),
    /// Another relay claimed the progress topic while we did.
    ClaimLost,
    /// No answer to CopyDone.
    EndUnanswered,
    /// Begin again at the last position that was committed.
    TransactionAborted,
    /// The commit of the database's transaction at `at` did not come in time.
    TransactionTimedOut {
        at: Lsn,
    },
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "protocol violation: {error}"),
            Self::Frozen { for_ms } => write!(f, "the process stood still for {for_ms} ms"),
            Self::Silent { for_ms } => write!(f, "the server was silent for {for_ms} ms"),
            Self::ForeignWriter(writer) => writer.fmt(f),
            Self::ClaimLost => f.write_str("another relay claimed the progress topic"),
            Self::TransactionAborted => f.write_str("the Kafka transaction was aborted"),
            Self::TransactionTimedOut { at } => {
                write!(
                    f,
                    "the transaction at {at} did not end within delivery.max_transaction_time"
                )
            }
            Self::EndUnanswered => f.write_str("the server did not answer the end of the stream"),
        }
    }
}

/// What an operator may want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// `repeats_max`: the most events that the former owner may have published past the position.
    Claimed {
        acquisition: u64,
        end_lsn: Lsn,
        partial: Option<Partial>,
        repeats_max: u64,
    },
    PositionLowered {
        from: Lsn,
        to: Lsn,
    },
    SlotRecorded {
        end_lsn: Lsn,
    },
    Streaming {
        end_lsn: Lsn,
    },
    Released,
    /// A message with the prefix of events was written outside of a transaction; the first one.
    StrayMessage,
    /// There is no dead-letter table: an event that must not be sent halts the relay.
    ParkingOff,
    ProducerFailed {
        error: String,
    },
    ProducerRetired {
        reason: String,
    },
    ProducerReplaced {
        lost: usize,
    },
    TopicUnavailable {
        topic: String,
        error: TopicError,
    },
    /// The first of its kind since the last success.
    RotationFailed(RotationFailure),
    /// From the transaction that commits at `at` on.
    PartitionsSwitched {
        topic: String,
        from: u32,
        to: u32,
        at: Lsn,
    },
    Draining {
        in_flight: usize,
    },
}
