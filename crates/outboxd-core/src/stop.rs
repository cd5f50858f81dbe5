//! Why a relay stops: a stable code with a message, a detail and a hint.

use std::fmt;

/// A reason to stop that a restart would not cure. Printed as `error[<code>]: message` with
/// `detail:` and `hint:` lines.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Stop {
    pub code: Code,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Stop {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, hint: None }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The stable name of a stop. Scripts and runbooks match on it, so a name never changes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Code {
    /// A bug, or bytes from a server that make no sense.
    Internal,
    SlotMissing,
    SlotLost,
    SlotMoved,
    OtherSystem,
    Diverged,
    PositionAhead,
    ProgressLost,
    /// A gap in events that no table holds.
    NotStored,
    /// Another relay holds the slot, and waiting was not wanted.
    SlotInUse,
    /// An event that Kafka refuses for good.
    Record(RecordErrorKind),
    /// The limits of parking are reached.
    TooManyParked,
    Publication,
    TableContract,
    PartitionsChanged,
    SlotUnusable,
    /// wal_level is below `logical`.
    WalLevel,
    /// All replication slots, or all walsenders, are taken.
    NoFreeSlot,
    TableMissing,
    /// The files that were applied to a schema are not those of this program.
    Migration,
    Login,
    Permission,
    PostgresUnreachable,
    KafkaUnreachable,
    Config,
}

impl Code {
    /// Every code there is: what documentation has to cover.
    pub const ALL: [Self; 32] = [
        Self::Internal,
        Self::SlotMissing,
        Self::SlotLost,
        Self::SlotMoved,
        Self::OtherSystem,
        Self::Diverged,
        Self::PositionAhead,
        Self::ProgressLost,
        Self::NotStored,
        Self::SlotInUse,
        Self::Record(RecordErrorKind::RecordTooLarge),
        Self::Record(RecordErrorKind::UnknownTopic),
        Self::Record(RecordErrorKind::TopicUnauthorized),
        Self::Record(RecordErrorKind::InvalidTopic),
        Self::Record(RecordErrorKind::InvalidKey),
        Self::Record(RecordErrorKind::InvalidHeaders),
        Self::Record(RecordErrorKind::InvalidTimestamp),
        Self::Record(RecordErrorKind::InvalidRecord),
        Self::TooManyParked,
        Self::Publication,
        Self::TableContract,
        Self::PartitionsChanged,
        Self::SlotUnusable,
        Self::WalLevel,
        Self::NoFreeSlot,
        Self::TableMissing,
        Self::Migration,
        Self::Login,
        Self::Permission,
        Self::PostgresUnreachable,
        Self::KafkaUnreachable,
        Self::Config,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::SlotMissing => "slot_missing",
            Self::SlotLost => "slot_lost",
            Self::SlotMoved => "slot_moved",
            Self::OtherSystem => "other_system",
            Self::Diverged => "diverged",
            Self::PositionAhead => "position_ahead",
            Self::ProgressLost => "progress_lost",
            Self::NotStored => "not_stored",
            Self::SlotInUse => "slot_in_use",
            Self::Record(kind) => kind.as_str(),
            Self::TooManyParked => "too_many_parked",
            Self::Publication => "publication",
            Self::TableContract => "table_contract",
            Self::PartitionsChanged => "partitions_changed",
            Self::SlotUnusable => "slot_unusable",
            Self::WalLevel => "wal_level",
            Self::NoFreeSlot => "no_free_slot",
            Self::TableMissing => "table_missing",
            Self::Migration => "migration",
            Self::Login => "login",
            Self::Permission => "permission",
            Self::PostgresUnreachable => "postgres_unreachable",
            Self::KafkaUnreachable => "kafka_unreachable",
            Self::Config => "config",
        }
    }

    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal | Self::PostgresUnreachable | Self::KafkaUnreachable => 1,
            Self::SlotMissing
            | Self::SlotLost
            | Self::SlotMoved
            | Self::OtherSystem
            | Self::Diverged
            | Self::PositionAhead
            | Self::ProgressLost
            | Self::NotStored => 10,
            Self::SlotInUse => 11,
            Self::Record(_) | Self::TooManyParked => 12,
            Self::Publication
            | Self::TableContract
            | Self::PartitionsChanged
            | Self::SlotUnusable
            | Self::WalLevel
            | Self::NoFreeSlot
            | Self::TableMissing
            | Self::Migration => 13,
            Self::Login | Self::Permission => 14,
            Self::Config => 78,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with one event, as opposed to the way to Kafka.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RecordErrorKind {
    RecordTooLarge,
    UnknownTopic,
    TopicUnauthorized,
    InvalidTopic,
    InvalidKey,
    InvalidHeaders,
    InvalidTimestamp,
    InvalidRecord,
}

impl RecordErrorKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RecordTooLarge => "record_too_large",
            Self::UnknownTopic => "unknown_topic",
            Self::TopicUnauthorized => "topic_unauthorized",
            Self::InvalidTopic => "invalid_topic",
            Self::InvalidKey => "invalid_key",
            Self::InvalidHeaders => "invalid_headers",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::InvalidRecord => "invalid_record",
        }
    }
}

impl RecordErrorKind {
    /// Not the record's own fault: another record would have fared alike.
    pub(crate) const fn is_of_topic(self) -> bool {
        matches!(self, Self::UnknownTopic | Self::TopicUnauthorized)
    }
}

/// An event that must not be sent, or was refused, with all that names it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct RecordError {
    pub kind: RecordErrorKind,
    pub event_id: Option<String>,
    pub topic: Option<String>,
    pub key: Option<Vec<u8>>,
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code without a place in the list would go undocumented, so the list is held against the
    /// names in this very file.
    #[test]
    fn the_list_of_codes_is_complete() {
        let arms = include_str!("stop.rs").lines().filter_map(|line| {
            let (_, name) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
            name.strip_suffix("\",")
        });
        let mut named: Vec<_> = arms.collect();
        let mut listed: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        named.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, named);
    }

    #[test]
    fn a_shell_can_tell_every_exit_status_from_a_signal() {
        for code in Code::ALL {
            assert!((1..128).contains(&code.exit_code()), "{code}");
        }
    }
}
