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
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                Some(unreachable(self).hint(UNREACHABLE_HINT))
            }
            Self::NotPrimary { .. } => Some(
                Stop::new(Code::PostgresUnreachable, self.to_string())
                    .hint("name the primary in the connection URL; several hosts may be listed"),
            ),
            Self::NoneUsable { attempts } => Some(none_usable(attempts)),
            Self::Closed | Self::Io(_) | Self::PeerNotReading | Self::Unanswered { .. } => {
                Some(unreachable(self))
            }
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
        TlsError::Refused => stop.detail("the TLS mode demands encryption").hint(
            "set ssl = on in the server's postgresql.conf and reload it; to go without \
                 encryption on a network you trust, use sslmode=prefer",
        ),
        TlsError::NotTrusted { .. } => stop.hint(
            "name the file of the CA that issued the server's certificate \
                 (sslrootcert=… in the connection URL, or source.tls.ca); verify-full also wants \
                 the host in the URL to be a name in the certificate",
        ),
        TlsError::PlaintextAfterAnswer => {
            stop.hint("somebody between here and the server may be changing the traffic")
        }
        TlsError::BadAnswer(_) => {
            stop.hint("check that host and port are those of a Postgres server")
        }
        TlsError::File { error: reasons, .. } => Stop::new(Code::Config, error.to_string())
            .detail(in_words(reasons))
            .hint("check that the file exists, can be read by this user, and is PEM"),
        TlsError::Handshake(_) => {
            stop.hint("check TLS versions, and the client certificate if the server wants one")
        }
        TlsError::Setup(_) => stop,
    }
}

/// OpenSSL's reasons without its source lines.
fn in_words(reasons: &openssl::error::ErrorStack) -> String {
    let words = reasons.errors().iter().filter_map(openssl::error::Error::reason);
    words.filter(|reason| *reason != "system lib").collect::<Vec<_>>().join(", ")
}

fn auth(error: &AuthError) -> Stop {
    let stop = Stop::new(Code::Login, error.to_string());
    match error {
        AuthError::PasswordMissing => stop.hint(
            "put it into the connection URL (postgres://user:password@…), or the whole URL into a \
             file named by source.url_file",
        ),
        AuthError::NotAllowed { method: "md5" } => stop
            .detail("md5 is weak: the server keeps this role's password as an md5 hash")
            .hint(
                "set password_encryption = 'scram-sha-256' on the server and give the role its \
                 password again; to allow md5 all the same, add require_auth=md5 to the \
                 connection URL",
            ),
        AuthError::NotAllowed { method: "cleartext password" } => stop
            .detail("whoever answers would get the password to read")
            .hint(
                "write scram-sha-256 instead of password into pg_hba.conf; to send it all the \
                 same, add require_auth=password to the connection URL",
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
        ErrorKind::WrongPassword => (
            Code::Login,
            "correct user or password in the connection URL; characters such as @ : / in a \
             password are written %40 %3A %2F",
        ),
        ErrorKind::LoginRefused => (
            Code::Login,
            "see that the role exists (create role <name> login replication password '…') and that \
             pg_hba.conf lets it in from this host (hostssl <database> <name> <address> \
             scram-sha-256), then select pg_reload_conf()",
        ),
        ErrorKind::DatabaseMissing => {
            (Code::Login, "correct the database at the end of the connection URL, or create it")
        }
        ErrorKind::NoPermission => (
            Code::Permission,
            "a replication connection needs a role with the REPLICATION attribute: as a superuser \
             alter role <name> replication (Amazon RDS: grant rds_replication to <name>), or give \
             a role that has it in source.replication_url",
        ),
        ErrorKind::TooManyConnections => (
            Code::NoFreeSlot,
            "end sessions that are no longer needed (pg_stat_replication, pg_stat_activity), or \
             raise max_wal_senders or max_connections and restart the server",
        ),
        ErrorKind::LimitReached => (
            Code::NoFreeSlot,
            "drop a slot that nobody needs (select pg_drop_replication_slot('name')), or raise \
             max_replication_slots and restart the server",
        ),
        ErrorKind::NotReady | ErrorKind::ShuttingDown => {
            (Code::PostgresUnreachable, "wait until the server accepts connections")
        }
        ErrorKind::OtherTransient => return None,
        // Fatal: said to the whole session, not to a command. So the login was refused.
        _ if error.severity == "FATAL" => (Code::Login, "check the connection URL and its options"),
        ErrorKind::InUse | ErrorKind::Missing | ErrorKind::NotUsable | ErrorKind::Other => {
            return None;
        }
    };
    let sqlstate = format!("SQLSTATE {}", error.sqlstate);
    let detail = match &error.detail {
        Some(detail) => format!("{detail} ({sqlstate})"),
        None => sqlstate,
    };
    let stop = Stop::new(code, format!("Postgres refused: {}", error.message)).detail(detail);
    Some(stop.hint(error.hint.as_deref().unwrap_or(hint)))
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.ends_with(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    text
}

const UNREACHABLE_HINT: &str = "check host and port in the connection URL, that Postgres runs \
                                there, and that listen_addresses and firewalls let this machine \
                                in (pg_isready -h host -p port)";

#[cfg(test)]
#[path = "stop_tests.rs"]
mod tests;
