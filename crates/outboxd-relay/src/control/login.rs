//! Logs in to the first server that will do, through the same sockets as the replication session.
//!
//! Hosts, time limits, TLS and the methods of authentication are those of the source; only what is
//! spoken afterwards differs.

use std::future::{Ready, poll_fn, ready};
use std::io;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding as Binding, Config, SslMode, SslNegotiation};
use tokio_postgres::tls::TlsConnect;
use tokio_postgres::{AsyncMessage, Client, Connection};

use super::auth_guard::Guarded;
use super::error::{ControlError, login_error};
use crate::source::connect::open;
use crate::source::error::{AuthError, SourceError};
use crate::source::params::{ChannelBinding, ConnectParams, Endpoint};
use crate::source::socket::Socket;
use crate::source::tls::Secured;

pub(super) struct LoggedIn {
    pub(super) client: Client,
    pub(super) driver: JoinHandle<()>,
    /// A NOTIFY has come on a channel that is listened on.
    pub(super) notified: Arc<Notify>,
}

/// Tries the servers in order. A failure that waiting does not cure ends the search.
pub(super) async fn log_in(params: &ConnectParams) -> Result<LoggedIn, ControlError> {
    let mut attempts = Vec::new();
    for endpoint in &params.endpoints {
        let after = params.connect_timeout;
        let attempt = timeout(after, log_in_to(endpoint, params)).await;
        let timed_out = || SourceError::TimedOut { endpoint: endpoint.to_string(), after };
        match attempt.unwrap_or_else(|_| Err(timed_out())) {
            Ok(session) => return Ok(session),
            Err(error) if error.is_transient() => attempts.push(error),
            Err(error) => return Err(ControlError::login(&error, params)),
        }
    }
    let only = if attempts.len() == 1 { attempts.pop() } else { None };
    let error = only.unwrap_or(SourceError::NoneUsable { attempts });
    Err(ControlError::login(&error, params))
}

async fn log_in_to(endpoint: &Endpoint, params: &ConnectParams) -> Result<LoggedIn, SourceError> {
    let Secured { socket, end_point } = open(endpoint, params).await?;
    if params.channel_binding == ChannelBinding::Require && end_point.is_none() {
        return Err(AuthError::NoChannelBinding.into());
    }
    let has_password = params.password.is_some();
    let opened = Opened(Guarded::new(socket, end_point, params.allowed_auth, has_password));
    let (client, connection) =
        config(params).connect_raw(tokio::io::empty(), opened).await.map_err(login_error)?;
    let notified = Arc::new(Notify::new());
    let driver = tokio::spawn(drive(connection, Arc::clone(&notified)));
    if params.primary_only && in_recovery(&client).await? {
        driver.abort();
        return Err(SourceError::NotPrimary { endpoint: endpoint.to_string() });
    }
    Ok(LoggedIn { client, driver, notified })
}

async fn in_recovery(client: &Client) -> Result<bool, SourceError> {
    let rows = client.query_typed("select pg_is_in_recovery()", &[]).await.map_err(login_error)?;
    let row = rows.first().ok_or(SourceError::Closed)?;
    row.try_get(0).map_err(login_error)
}

async fn drive(
    mut connection: Connection<tokio::io::Empty, Guarded<Socket>>,
    notified: Arc<Notify>,
) {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            // Several that come at once are as good as one.
            Ok(AsyncMessage::Notification(_)) => notified.notify_one(),
            Ok(AsyncMessage::Notice(notice)) => tracing::debug!(%notice, "control session"),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "control session ended");
                return;
            }
        }
    }
}

/// The library is told that TLS comes first and without asking, which leaves it to [`Opened`] to
/// provide the stream and its channel binding.
fn config(params: &ConnectParams) -> Config {
    let mut config = Config::new();
    config
        .user(&params.user)
        .dbname(&params.database)
        .application_name(params.application_name.as_deref().unwrap_or(APPLICATION_NAME))
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .channel_binding(match params.channel_binding {
            ChannelBinding::Disable => Binding::Disable,
            ChannelBinding::Prefer => Binding::Prefer,
            ChannelBinding::Require => Binding::Require,
        });
    if let Some(password) = &params.password {
        config.password(password.expose_secret());
    }
    if let Some(options) = &params.options {
        config.options(options);
    }
    config
}

/// A socket that is as secure as it is going to be.
struct Opened(Guarded<Socket>);

impl TlsConnect<tokio::io::Empty> for Opened {
    type Stream = Guarded<Socket>;
    type Error = io::Error;
    type Future = Ready<io::Result<Guarded<Socket>>>;

    fn connect(self, _: tokio::io::Empty) -> Self::Future {
        ready(Ok(self.0))
    }
}

const APPLICATION_NAME: &str = "outboxd";
