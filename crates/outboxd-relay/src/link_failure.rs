//! Why the way to Postgres is closed: for good, or for now.

use outboxd_core::stop::{Code, Stop};

use crate::control::ControlError;
use crate::error_chain;
use crate::source::error::SourceError;

pub(crate) enum LinkFailure {
    /// Nothing a retry would cure.
    Stop(Stop),
    Session(SourceError),
    Control {
        error: String,
        hint: Option<String>,
    },
}

impl From<Stop> for LinkFailure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// For those who do not try again.
impl From<LinkFailure> for Stop {
    fn from(failure: LinkFailure) -> Self {
        match failure {
            LinkFailure::Stop(stop) => stop,
            LinkFailure::Session(error) => {
                error.to_stop().unwrap_or_else(|| Self::new(Code::Internal, error_chain(&error)))
            }
            LinkFailure::Control { error, hint } => Self {
                hint,
                ..Self::new(Code::PostgresUnreachable, "the database cannot be asked").detail(error)
            },
        }
    }
}

impl From<ControlError> for LinkFailure {
    fn from(error: ControlError) -> Self {
        if error.is_transient() {
            let hint = error.hint().map(str::to_owned);
            return Self::Control { error: error_chain(&error), hint };
        }
        Self::Stop(error.into())
    }
}
