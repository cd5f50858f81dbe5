//! What Postgres says in an ErrorResponse or a NoticeResponse.

use std::fmt;
use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

/// An error or notice of the server, in the server's own words.
#[derive(Clone, Debug, Default, Eq, PartialEq, thiserror::Error)]
pub struct ServerError {
    pub sqlstate: String,
    /// Not localised: `ERROR`, `FATAL`, `WARNING` …
    pub severity: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// The SQLSTATEs that somebody here acts on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// 28P01
    WrongPassword,
    /// 28000: no line in pg_hba.conf, a refusing line, or a role that may not log in.
    LoginRefused,
    /// 42501; at login: the role lacks REPLICATION.
    NoPermission,
    /// 3D000
    DatabaseMissing,
    /// 53300: no free connection or walsender.
    TooManyConnections,
    /// 53400; at slot creation: all replication slots are in use.
    LimitReached,
    /// 57P03: starting up, shutting down, or in recovery without hot standby.
    NotReady,
    /// 57P01, 57P02: told to end. A slot invalidated while streaming says 57P01 too.
    ShuttingDown,
    /// 55006; at START_REPLICATION: the slot is active.
    InUse,
    /// 42704; at START_REPLICATION: the slot does not exist.
    Missing,
    /// 55000; at START_REPLICATION: the slot was invalidated.
    NotUsable,
    /// Worth another try without knowing more: lost connections, resources, lock time-outs.
    OtherTransient,
    Other,
}

impl ServerError {
    pub fn kind(&self) -> ErrorKind {
        match self.sqlstate.as_str() {
            "28P01" => ErrorKind::WrongPassword,
            "28000" => ErrorKind::LoginRefused,
            "42501" => ErrorKind::NoPermission,
            "3D000" => ErrorKind::DatabaseMissing,
            "53300" => ErrorKind::TooManyConnections,
            "53400" => ErrorKind::LimitReached,
            "57P03" => ErrorKind::NotReady,
            "57P01" | "57P02" => ErrorKind::ShuttingDown,
            "55006" => ErrorKind::InUse,
            "42704" => ErrorKind::Missing,
            "55000" => ErrorKind::NotUsable,
            "55P03" | "57014" | "57P05" => ErrorKind::OtherTransient,
            other => match other.get(..2) {
                // Connection, rollback, resources, IO and internal trouble.
                Some("08" | "40" | "53" | "58" | "XX") => ErrorKind::OtherTransient,
                _ => ErrorKind::Other,
            },
        }
    }

    /// Whether the same request may succeed later with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        match self.kind() {
            ErrorKind::TooManyConnections
            | ErrorKind::NotReady
            | ErrorKind::ShuttingDown
            | ErrorKind::InUse
            | ErrorKind::OtherTransient => true,
            ErrorKind::WrongPassword
            | ErrorKind::LoginRefused
            | ErrorKind::NoPermission
            | ErrorKind::DatabaseMissing
            | ErrorKind::LimitReached
            | ErrorKind::Missing
            | ErrorKind::NotUsable
            | ErrorKind::Other => false,
        }
    }

    pub(super) fn from_fields(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let mut error = Self::default();
        let mut localised_severity = None;
        while let Some(field) = fields.next()? {
            // Before the login is complete the encoding is the server's choice.
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => error.sqlstate = value,
                b'V' => error.severity = value,
                b'S' => localised_severity = Some(value),
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                _ => {}
            }
        }
        if error.severity.is_empty() {
            error.severity = localised_severity.unwrap_or_default();
        }
        Ok(error)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.severity, self.message, self.sqlstate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sqlstate: &str) -> ServerError {
        ServerError { sqlstate: sqlstate.to_owned(), ..ServerError::default() }
    }

    #[test]
    fn what_waiting_cures_is_transient() {
        for code in ["53300", "57P03", "57P01", "57P02", "55006", "08006", "40001", "58030"] {
            assert!(error(code).is_transient(), "{code}");
        }
    }

    #[test]
    fn what_a_person_must_change_is_not() {
        let codes = ["28P01", "28000", "3D000", "42501", "42704", "55000", "42601", "53400", "", "é"];
        for code in codes {
            assert!(!error(code).is_transient(), "{code}");
        }
    }
}
