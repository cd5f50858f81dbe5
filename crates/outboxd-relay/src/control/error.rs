//! What can go wrong on the control session, in words that somebody can act on.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use tokio_postgres::error::{DbError, SqlState};

use crate::setup::sql::identifier;
use crate::source::error::{AuthError, SourceError};
use crate::source::params::ConnectParams;
use crate::source::server_error::ServerError;

/// A failure of the control session. It answers whether to try again, and how to report it when
/// nobody does.
#[derive(Debug, thiserror::Error)]
#[error("{}", in_one_line(stop))]
pub struct ControlError {
    stop: Stop,
    transient: bool,
    sqlstate: Option<String>,
}

impl ControlError {
    /// The next step, for somebody who reads it in a log.
    pub fn hint(&self) -> Option<&str> {
        self.stop.hint.as_deref()
    }

    /// Whether another try may succeed with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// The connection is gone, as opposed to a statement that was refused.
    pub(crate) fn is_transport(&self) -> bool {
        self.sqlstate.is_none() && self.transient
    }

    /// The SQLSTATE, when it is the server that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// The login failed; said in the same words as for the replication session.
    pub(super) fn login(error: &SourceError, params: &ConnectParams) -> Self {
        let sqlstate = error.as_server().map(|server| server.sqlstate.clone());
        let stop = error.to_login_stop(params);
        let mut stop = stop.unwrap_or_else(|| Stop::new(Code::Internal, error.to_string()));
        if sqlstate.as_deref() == Some(INSUFFICIENT_PRIVILEGE) {
            let role = identifier(&params.user);
            let database = identifier(&params.database);
            stop = stop.hint(format!("grant connect on database {database} to {role}"));
        }
        Self { stop, transient: error.is_transient(), sqlstate }
    }

    /// Another relay of the same name has taken over: the session is over, and what follows is
    /// decided by what it left.
    pub(crate) fn overtaken() -> Self {
        let stop = Stop::new(Code::SlotInUse, "another relay of this name has taken over");
        Self { stop, transient: true, sqlstate: None }
    }

    pub(crate) fn closed() -> Self {
        let stop = Stop::new(Code::PostgresUnreachable, "the connection to postgres was lost");
        Self { stop, transient: true, sqlstate: None }
    }

    pub(super) fn unanswered(after: Duration) -> Self {
        let message = format!("postgres did not answer within {} s", after.as_secs());
        let stop = Stop::new(Code::PostgresUnreachable, message);
        Self { stop, transient: true, sqlstate: None }
    }

    pub(super) fn row_count(sql: &str) -> Self {
        Stop::new(Code::Internal, "postgres answered with an unexpected number of rows")
            .detail(sql)
            .into()
    }
}

fn in_one_line(stop: &Stop) -> String {
    match &stop.detail {
        Some(detail) => format!("{stop}: {detail}"),
        None => stop.to_string(),
    }
}

/// A query failed on a session that had been logged in.
impl From<tokio_postgres::Error> for ControlError {
    fn from(error: tokio_postgres::Error) -> Self {
        let (stop, transient) = match error.as_db_error() {
            Some(refusal) => (query_refused(refusal), server_error(refusal).is_transient()),
            None if is_transport(&error) => {
                let message = "the connection to postgres was lost";
                (Stop::new(Code::PostgresUnreachable, message).detail(chain(&error)), true)
            }
            None => {
                let message = "the answer of postgres could not be read";
                (Stop::new(Code::Internal, message).detail(chain(&error)), false)
            }
        };
        let sqlstate = error.code().map(|code| code.code().to_owned());
        Self { stop, transient, sqlstate }
    }
}

impl From<Stop> for ControlError {
    fn from(stop: Stop) -> Self {
        Self { stop, transient: false, sqlstate: None }
    }
}

impl From<ControlError> for Stop {
    fn from(error: ControlError) -> Self {
        error.stop
    }
}

/// What the library says of a failed login, in terms of the source.
#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
pub(super) fn login_error(error: tokio_postgres::Error) -> SourceError {
    if let Some(refusal) = error.as_db_error() {
        return server_error(refusal).into();
    }
    match io_cause(&error) {
        Some(cause) => match cause.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(AuthError::PasswordMissing) => AuthError::PasswordMissing.into(),
            Some(AuthError::NotAllowed { method }) => AuthError::NotAllowed { method }.into(),
            _ => SourceError::Io(io::Error::new(cause.kind(), cause.to_string())),
        },
        None if is_transport(&error) => SourceError::Closed,
        None => AuthError::Scram { reason: chain(&error) }.into(),
    }
}

fn server_error(refusal: &DbError) -> ServerError {
    ServerError {
        sqlstate: refusal.code().code().to_owned(),
        severity: refusal
            .parsed_severity()
            .map_or(refusal.severity().to_owned(), |it| it.to_string()),
        message: refusal.message().to_owned(),
        detail: refusal.detail().map(str::to_owned),
        hint: refusal.hint().map(str::to_owned),
    }
}

fn query_refused(refusal: &DbError) -> Stop {
    let code = refusal.code();
    let stop = if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        Stop::new(Code::Permission, refusal.message())
            .hint("run it as the owner of the object (setup: as a role that may create it)")
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        Stop::new(Code::Permission, "the server takes no writes")
            .hint("it is a standby: point source.url to the primary")
    } else if *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::QUERY_CANCELED {
        Stop::new(Code::PostgresUnreachable, "postgres did not finish a statement in time")
            .hint("another session may hold a lock on the table: try again, or see pg_locks")
    } else {
        Stop::new(Code::Internal, format!("postgres refused a statement: {}", refusal.message()))
    };
    stop.detail(server_words(refusal))
}

fn server_words(refusal: &DbError) -> String {
    let mut words = format!("{} ({})", refusal.message(), refusal.code().code());
    for more in [refusal.detail(), refusal.hint()].into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = write!(words, "; {more}");
    }
    words
}

/// The connection failed, as opposed to what was said on it.
fn is_transport(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || io_cause(error).is_some() || error.source().is_none()
}

fn io_cause(error: &tokio_postgres::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(cause) = inner.downcast_ref() {
            return Some(cause);
        }
        source = inner.source();
    }
    None
}

fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_says_why() {
        let stop = Stop::new(Code::PostgresUnreachable, "cannot reach db:5432");
        let error = ControlError::from(stop.detail("Too many open files"));
        assert_eq!(error.to_string(), "cannot reach db:5432: Too many open files");
    }
}
