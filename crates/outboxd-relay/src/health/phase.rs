//! What a relay is doing, and what it is among its likes.

/// What it is doing. Finer than [`Role`]: tells what it waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Starting,
    /// No session to Postgres, or one that is being opened.
    Connecting,
    /// Another relay holds the lock.
    StandingBy,
    /// The lock is ours: progress, gate, claim, and the start of the stream.
    Opening,
    Streaming,
    /// Kafka does not answer: the stream was ended, lock and session are kept.
    Released,
    /// Told to end: what is in flight is waited for.
    Draining,
    Stopped,
}

/// What a relay is among its likes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It holds the lock.
    Active,
    /// It waits for the lock.
    Standby,
    #[default]
    Stopped,
}

impl Phase {
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Streaming | Self::StandingBy)
    }

    /// `None`: it may hold the lock or not.
    pub(super) const fn role(self) -> Option<Role> {
        match self {
            Self::Starting | Self::Connecting | Self::Stopped => Some(Role::Stopped),
            Self::StandingBy => Some(Role::Standby),
            Self::Opening | Self::Streaming | Self::Released => Some(Role::Active),
            Self::Draining => None,
        }
    }

    /// For people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Connecting => "no session to Postgres",
            Self::StandingBy => "standing by: another relay is active",
            Self::Opening => "checking progress and slot before the stream starts",
            Self::Streaming => "streaming",
            Self::Released => "stream ended until Kafka answers",
            Self::Draining => "ending: waiting for what is in flight",
            Self::Stopped => "stopped",
        }
    }
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Active, Self::Standby, Self::Stopped];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Stopped => "stopped",
        }
    }
}
