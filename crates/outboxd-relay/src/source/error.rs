//! What can go wrong between here and Postgres.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::server_error::ServerError;

/// A failure of the source. [`Self::is_transient`] says whether to try again; [`Self::to_stop`]
/// says it to a person.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot reach {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        error: io::Error,
    },
    #[error("{endpoint} did not complete the login within {} s", after.as_secs_f32())]
    TimedOut { endpoint: String, after: Duration },
    #[error("{endpoint} is a standby, and the primary is wanted")]
    NotPrimary { endpoint: String },
    /// None of several servers would do; the failures in the order of the attempts.
    #[error("none of {} servers can be used; the last: {}", attempts.len(), last(attempts))]
    NoneUsable { attempts: Vec<Self> },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Server(Box<ServerError>),
    #[error("the server closed the connection")]
    Closed,
    #[error("the connection broke")]
    Io(#[source] io::Error),
    #[error("the server does not take what is sent to it")]
    PeerNotReading,
    #[error("the server did not answer within {} s", after.as_secs_f32())]
    Unanswered { after: Duration },
    #[error("the message cannot be sent")]
    NotSendable(#[source] io::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("cannot {operation} while the session is {state}")]
    Misuse { operation: &'static str, state: &'static str },
}

/// The connection could not be encrypted as wanted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the server does not offer TLS")]
    Refused,
    #[error("the server answered the TLS request with byte {0:#04x}")]
    BadAnswer(u8),
    /// Something between here and the server may have slipped bytes in.
    #[error("unencrypted bytes follow the server's agreement to TLS")]
    PlaintextAfterAnswer,
    #[error("the server's certificate is not trusted: {reason}")]
    NotTrusted { reason: String },
    #[error("the TLS handshake failed")]
    Handshake(#[source] openssl::ssl::Error),
    #[error("cannot use {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        error: openssl::error::ErrorStack,
    },
    #[error("TLS could not be set up")]
    Setup(#[from] openssl::error::ErrorStack),
}

/// The login failed on our side of it. What the server refuses is a [`ServerError`].
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthError {
    #[error("the server asks for a password, and none is given")]
    PasswordMissing,
    #[error("the server asks for {method} authentication, which is not allowed")]
    NotAllowed { method: &'static str },
    #[error("the server asks for {method} authentication, which is not supported")]
    Unsupported { method: String },
    #[error("channel binding is required, and the connection cannot provide it")]
    NoChannelBinding,
    #[error("the server ended the SCRAM exchange before proving that it knows the password")]
    Unproven,
    #[error("the SCRAM exchange failed: {reason}")]
    Scram { reason: String },
}

/// The server sent what makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("a message announces an impossible length")]
    Length,
    #[error("a message of kind {:?} announces {length} bytes", char::from(*tag))]
    TooLong { tag: u8, length: usize },
    #[error("a message cannot be parsed")]
    Malformed(#[source] io::Error),
    #[error("unexpected {0}")]
    Unexpected(&'static str),
    #[error("the answer to a query is too large")]
    AnswerTooLarge,
    #[error("the answer to {0} makes no sense")]
    Answer(&'static str),
}

impl SourceError {
    /// Whether another try may succeed with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::NotPrimary { .. }
            | Self::Closed
            | Self::Io(_)
            | Self::PeerNotReading
            | Self::Unanswered { .. } => true,
            Self::NoneUsable { attempts } => attempts.iter().any(Self::is_transient),
            Self::Tls(TlsError::Handshake(error)) => was_cut(error),
            Self::Server(error) => error.is_transient(),
            Self::Tls(_)
            | Self::Auth(_)
            | Self::Protocol(_)
            | Self::NotSendable(_)
            | Self::Misuse { .. } => false,
        }
    }

    /// The server's own words, if that is what failed.
    pub fn as_server(&self) -> Option<&ServerError> {
        match self {
            Self::Server(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ServerError> for SourceError {
    fn from(error: ServerError) -> Self {
        Self::Server(Box::new(error))
    }
}

/// The connection ended in the handshake, as when a server restarts; nobody refused anything.
fn was_cut(error: &openssl::ssl::Error) -> bool {
    let ended = |stack: &openssl::error::ErrorStack| {
        stack
            .errors()
            .iter()
            .any(|error| error.reason().is_some_and(|reason| reason.contains("unexpected eof")))
    };
    error.io_error().is_some()
        || error.code() == openssl::ssl::ErrorCode::SYSCALL
        || error.ssl_error().is_some_and(ended)
}

fn last(attempts: &[SourceError]) -> String {
    attempts.last().map(ToString::to_string).unwrap_or_default()
}
