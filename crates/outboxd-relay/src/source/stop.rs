//! The failures of the source in words for a person.

use std::error::Error;

use outboxd_core::stop::{Code, Stop};

use super::error::{AuthError, SourceError, TlsError};
use super::server_error::{ErrorKind, ServerError};

impl SourceError {
    /// What to tell the user when this is the end, also of a transient failure that is not waited
    /// out. `None` for failures that mean something only to who caused them, such as a missing
    /// slot.
    pub fn to_stop(&self) -> Option<Stop> {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => Some(
                unreachable(self)
                    .hint("check host and port in the connection URL, and that Postgres runs"),
            ),
            Self::NotPrimary { .. } => Some(
                Stop::new(Code::PostgresUnreachable, self.to_string())
                    .hint("name the primary in the connection URL; several hosts may be listed"),
            ),
            Self::NoneUsable { attempts } => Some(none_usable(attempts)),
            Self::Closed | Self::Io(_) | Self::PeerNotReading => Some(unreachable(self)),
            Self::Tls(error) => Some(tls(error)),
            Self::Auth(error) => Some(auth(error)),
            Self::Server(error) => server(error),
            Self::Protocol(_) => Some(
                Stop::new(Code::Internal, chain(self))
                    .hint("check that host and port are those of a Postgres server"),
            ),
            Self::NotSendable(_) | Self::Misuse { .. } => None,
        }
    }
}

fn unreachable(error: &SourceError) -> Stop {
    let stop = Stop::new(Code::PostgresUnreachable, error.to_string());
    match error.source() {
        Some(source) => stop.detail(chain(source)),
        None => stop,
    }
}

fn none_usable(attempts: &[SourceError]) -> Stop {
    let attempts: Vec<_> = attempts.iter().map(|error| chain(error)).collect();
    Stop::new(Code::PostgresUnreachable, "none of the given Postgres servers can be used")
        .detail(attempts.join("; "))
        .hint("check the hosts in the connection URL, and that one of them is a running primary")
}

fn tls(error: &TlsError) -> Stop {
    let stop = Stop::new(Code::Login, chain(error));
    match error {
        TlsError::Refused => stop
            .detail("the TLS mode demands encryption")
            .hint("set ssl = on in the server's postgresql.conf, or use sslmode=prefer"),
        TlsError::NotTrusted { .. } => stop
            .hint("give the CA that issued the server's certificate (sslrootcert or source.tls.ca); verify-full also wants the host name in the URL to be the one in the certificate"),
        TlsError::PlaintextAfterAnswer => {
            stop.hint("somebody between here and the server may be changing the traffic")
        }
        TlsError::BadAnswer(_) => {
            stop.hint("check that host and port are those of a Postgres server")
        }
        TlsError::File { .. } => {
            stop.hint("check that the file exists, can be read by this user, and is PEM")
        }
        TlsError::Handshake(_) => stop
            .hint("check TLS versions, and the client certificate if the server wants one"),
        TlsError::Setup(_) => stop,
    }
}

fn auth(error: &AuthError) -> Stop {
    let stop = Stop::new(Code::Login, error.to_string());
    match error {
        AuthError::PasswordMissing => stop.hint("put the password into the connection URL"),
        AuthError::NotAllowed { method: "md5" } => stop.hint(
            "let the server use scram-sha-256, or add require_auth=md5 to the connection URL",
        ),
        AuthError::NotAllowed { method: "cleartext password" } => stop.hint(
            "let the server use scram-sha-256, or add require_auth=password to the connection URL",
        ),
        AuthError::NotAllowed { .. } => {
            stop.hint("add the method to require_auth in the connection URL")
        }
        AuthError::Unsupported { .. } => {
            stop.hint("let pg_hba.conf ask this role for scram-sha-256")
        }
        AuthError::NoChannelBinding => stop.hint(
            "channel binding needs TLS and scram-sha-256; turn both on, or use channel_binding=prefer",
        ),
        AuthError::Unproven | AuthError::Scram { .. } => stop
            .detail("whoever answered may not be the server that holds this role's password")
            .hint("check the host in the connection URL"),
    }
}

fn server(error: &ServerError) -> Option<Stop> {
    let (code, hint) = match error.kind() {
        ErrorKind::WrongPassword => {
            (Code::Login, "check user and password in the connection URL")
        }
        ErrorKind::LoginRefused => (
            Code::Login,
            "check that the role exists and may log in, and that pg_hba.conf lets it connect to \
             this database from this host",
        ),
        ErrorKind::DatabaseMissing => (Code::Login, "check the database name in the connection URL"),
        ErrorKind::NoPermission => (
            Code::Permission,
            "a replication connection needs a role with the REPLICATION attribute: \
             alter role <name> replication (on managed services: grant its replication role)",
        ),
        ErrorKind::TooManyConnections => (
            Code::NoFreeSlot,
            "raise max_wal_senders or max_connections, or end sessions that are no longer needed",
        ),
        ErrorKind::LimitReached => (
            Code::NoFreeSlot,
            "raise max_replication_slots, or drop a slot that is no longer needed",
        ),
        ErrorKind::NotReady | ErrorKind::ShuttingDown => {
            (Code::PostgresUnreachable, "wait until the server accepts connections")
        }
        ErrorKind::InUse
        | ErrorKind::Missing
        | ErrorKind::NotUsable
        | ErrorKind::OtherTransient
        | ErrorKind::Other => return None,
    };
    let stop = Stop::new(code, error.to_string()).hint(error.hint.as_deref().unwrap_or(hint));
    Some(match &error.detail {
        Some(detail) => stop.detail(detail.clone()),
        None => stop,
    })
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "stop_tests.rs"]
mod tests;
