//! What can go wrong on the control session, in words that somebody can act on.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use outboxd_core::stop::{Code, Stop};
use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::error::{DbError, SqlState};

/// A failure of the control session. It answers whether to try again, and how to report it when
/// nobody does.
#[derive(Debug, thiserror::Error)]
#[error("{stop}")]
pub struct ControlError {
    stop: Stop,
    transient: bool,
    #[source]
    cause: Option<tokio_postgres::Error>,
}

impl ControlError {
    /// Whether another try may succeed with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// The SQLSTATE, when it is the server that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        self.cause.as_ref()?.code().map(SqlState::code)
    }

    pub(super) fn connecting(config: &Config, error: tokio_postgres::Error) -> Self {
        let stop = match error.as_db_error() {
            Some(refusal) => login_refused(config, refusal),
            None if is_transport(&error) => unreachable(config, &error),
            None => login_failed(config, &error),
        };
        Self { stop, transient: is_transient(&error), cause: Some(error) }
    }

    pub(super) fn row_count(sql: &str) -> Self {
        let stop = Stop::new(Code::Internal, "postgres answered with an unexpected number of rows")
            .detail(sql);
        Self { stop, transient: false, cause: None }
    }
}

/// A query failed on a session that had been logged in.
impl From<tokio_postgres::Error> for ControlError {
    fn from(error: tokio_postgres::Error) -> Self {
        let stop = match error.as_db_error() {
            Some(refusal) => query_refused(refusal),
            None if is_transport(&error) => {
                Stop::new(Code::PostgresUnreachable, "the connection to postgres was lost")
                    .detail(chain(&error))
            }
            None => Stop::new(Code::Internal, "the answer of postgres could not be read")
                .detail(chain(&error)),
        };
        Self { stop, transient: is_transient(&error), cause: Some(error) }
    }
}

impl From<Stop> for ControlError {
    fn from(stop: Stop) -> Self {
        Self { stop, transient: false, cause: None }
    }
}

impl From<ControlError> for Stop {
    fn from(error: ControlError) -> Self {
        error.stop
    }
}

fn unreachable(config: &Config, error: &tokio_postgres::Error) -> Stop {
    let message = format!("cannot reach postgres at {}", servers(config));
    Stop::new(Code::PostgresUnreachable, message)
        .detail(chain(error))
        .hint("check that the server runs and accepts connections there, and the host and port in source.url")
}

/// The login failed on our side: no password to send, a certificate that is not trusted …
fn login_failed(config: &Config, error: &tokio_postgres::Error) -> Stop {
    let message = format!("cannot log in to postgres at {}", servers(config));
    Stop::new(Code::Login, message)
        .detail(chain(error))
        .hint("check the password in source.url (or source.url_file) and the source.tls settings")
}

fn login_refused(config: &Config, refusal: &DbError) -> Stop {
    let user = config.get_user().unwrap_or("(none)");
    let database = config.get_dbname().unwrap_or(user);
    let code = refusal.code();
    let (stop_code, message, hint) = if *code == SqlState::INVALID_PASSWORD {
        let hint = "correct the password in source.url (or the file named by source.url_file)";
        (Code::Login, format!("postgres refused the password of {user:?}"), hint)
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        let hint = "create the role with login, or add a matching line to pg_hba.conf and reload";
        (Code::Login, format!("postgres refused to let {user:?} in"), hint)
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        let hint = "create the database, or correct its name at the end of source.url";
        (Code::Login, format!("there is no database {database:?}"), hint)
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        let hint = "grant the role the right to connect to the database";
        (Code::Permission, format!("{user:?} may not connect to {database:?}"), hint)
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        let hint =
            "raise max_connections, or the limit of the role or database, or end idle sessions";
        (Code::PostgresUnreachable, "postgres has no free connection".to_owned(), hint)
    } else {
        let hint = "look into the server's log";
        let message = format!("postgres at {} is not ready", servers(config));
        (Code::PostgresUnreachable, message, hint)
    };
    let detail = format!("{} ({}), at {}", refusal.message(), code.code(), servers(config));
    Stop::new(stop_code, message).detail(detail).hint(hint)
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

fn is_transient(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return is_transport(error) };
    // Connection, rollback, resources, told to end or not ready yet, IO and internal trouble.
    const CLASSES: [&str; 6] = ["08", "40", "53", "57", "58", "XX"];
    *code == SqlState::LOCK_NOT_AVAILABLE
        || code.code().get(..2).is_some_and(|class| CLASSES.contains(&class))
}

/// The connection failed, as opposed to what was said on it.
fn is_transport(error: &tokio_postgres::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<io::Error>() {
            return true;
        }
        source = inner.source();
    }
    error.is_closed() || error.source().is_none()
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

fn servers(config: &Config) -> String {
    let port = |index: usize| match config.get_ports() {
        [] => DEFAULT_PORT,
        [port] => *port,
        ports => ports.get(index).copied().unwrap_or(DEFAULT_PORT),
    };
    let names = config.get_hosts().iter().enumerate().map(|(index, host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(index)),
        Host::Unix(directory) => format!("{}/.s.PGSQL.{}", directory.display(), port(index)),
    });
    names.collect::<Vec<_>>().join(", ")
}

const DEFAULT_PORT: u16 = 5432;
