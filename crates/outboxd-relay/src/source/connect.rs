//! Finds a server that will do: the hosts in order, each with its own time limit.

use std::io;
use std::net::SocketAddr;

use openssl::ssl::Error as SslError;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::error::{SourceError, TlsError};
use super::framer::{Framer, Limits};
use super::params::{ConnectParams, Endpoint, EndpointHost};
use super::session::query::query;
use super::socket::{Socket, configure};
use super::startup::{ServerInfo, SessionOptions, start};
use super::tls::{Secured, secure};

/// A connection that is logged in and ready for a query.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) framer: Framer<Socket>,
    pub(super) info: ServerInfo,
}

/// Tries the hosts in order. A failure that waiting does not cure ends the search: the other hosts
/// would most likely repeat it, and it is the one a person must see.
pub(super) async fn connect(
    params: &ConnectParams,
    options: SessionOptions,
) -> Result<Connected, SourceError> {
    let mut attempts = Vec::new();
    for endpoint in &params.endpoints {
        match connect_endpoint(endpoint, params, options).await {
            Ok(connected) => return Ok(connected),
            Err(error) if error.is_transient() => attempts.push(error),
            Err(error) => return Err(error),
        }
    }
    match attempts.pop() {
        Some(only) if attempts.is_empty() => Err(only),
        Some(last) => {
            attempts.push(last);
            Err(SourceError::NoneUsable { attempts })
        }
        None => Err(SourceError::NoneUsable { attempts }),
    }
}

async fn connect_endpoint(
    endpoint: &Endpoint,
    params: &ConnectParams,
    options: SessionOptions,
) -> Result<Connected, SourceError> {
    let after = params.connect_timeout;
    match timeout(after, log_in(endpoint, params, options)).await {
        Ok(result) => result.map_err(tls_alert),
        Err(_) => Err(SourceError::TimedOut { endpoint: endpoint.to_string(), after }),
    }
}

async fn log_in(
    endpoint: &Endpoint,
    params: &ConnectParams,
    options: SessionOptions,
) -> Result<Connected, SourceError> {
    let Secured { socket, end_point } = open(endpoint, params).await?;
    let mut framer = Framer::new(socket, Limits::for_rows(options.max_row_bytes));
    let info = start(&mut framer, params, options, end_point).await?;
    if params.primary_only && in_recovery(&mut framer).await? {
        return Err(SourceError::NotPrimary { endpoint: endpoint.to_string() });
    }
    Ok(Connected { framer, info })
}

/// The socket alone, encrypted as wanted; also what the control session logs in through.
pub(crate) async fn open(
    endpoint: &Endpoint,
    params: &ConnectParams,
) -> Result<Secured, SourceError> {
    let unreachable = |error| SourceError::Unreachable { endpoint: endpoint.to_string(), error };
    match &endpoint.host {
        EndpointHost::Unix(directory) => {
            let path = directory.join(format!(".s.PGSQL.{}", endpoint.port));
            let stream = UnixStream::connect(path).await.map_err(unreachable)?;
            Ok(Secured { socket: Socket::Unix(stream), end_point: None })
        }
        EndpointHost::Tcp { name, address } => {
            let address = address.map(|address| SocketAddr::new(address, endpoint.port));
            let stream = open_tcp(name, address, endpoint.port).await.map_err(unreachable)?;
            configure(&stream, params.keepalives, params.tcp_user_timeout)
                .map_err(SourceError::Io)?;
            secure(stream, name, &params.tls).await
        }
    }
}

/// A name may have several addresses; the first that answers is taken.
async fn open_tcp(name: &str, address: Option<SocketAddr>, port: u16) -> io::Result<TcpStream> {
    if let Some(address) = address {
        return TcpStream::connect(address).await;
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in lookup_host((name, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn in_recovery(framer: &mut Framer<Socket>) -> Result<bool, SourceError> {
    let rows = query(framer, "select pg_is_in_recovery()").await?;
    Ok(rows.first().and_then(|row| row.text(0)) == Some("t"))
}

/// In TLS 1.3 the server's refusal of a client certificate arrives only after the handshake.
fn tls_alert(error: SourceError) -> SourceError {
    match error {
        SourceError::Io(error) => match error.downcast::<SslError>() {
            Ok(alert) => TlsError::Handshake(alert).into(),
            Err(error) => SourceError::Io(error),
        },
        other => other,
    }
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
