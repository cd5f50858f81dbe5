//! Health, metrics and the status page over HTTP.
//!
//! Reads snapshots and nothing else: no request reaches the run loop, Postgres or Kafka, and none
//! changes anything.

mod health;
mod page;
mod router;
mod status;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Listen;
use crate::health::Watcher;

/// Which relay this is: it stands on the page and in the status.
#[derive(Clone, Debug)]
pub struct About {
    /// `source.name`
    pub name: String,
    pub slot: String,
    pub database: String,
}

/// A server that answers until it is ended, or dropped.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// `None` when it is switched off.
    pub async fn start(
        listen: Listen,
        about: About,
        watcher: Watcher,
    ) -> Result<Option<Self>, Stop> {
        let Listen::Address(address) = listen else { return Ok(None) };
        let bound = TcpListener::bind(address).await;
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| not_bound(address, &error))?;
        tracing::info!(event = "http.listening", %address, "health and metrics are served");
        let (end, ended) = oneshot::channel();
        let router = router::router(about, watcher);
        let task = tokio::spawn(async move {
            let ended = async move {
                // Dropped or told: both end it.
                let _ = ended.await;
            };
            // It never fails: what goes wrong with a connection ends that connection.
            let _ = axum::serve(listener, router).with_graceful_shutdown(ended).await;
        });
        Ok(Some(Self { address, end, task }))
    }

    /// Where it listens, the port chosen when none was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what was asked, and ends.
    pub async fn end(self) {
        let Self { end, mut task, .. } = self;
        drop(end);
        if tokio::time::timeout(END_WITHIN, &mut task).await.is_err() {
            task.abort();
        }
    }
}

fn not_bound(address: SocketAddr, error: &std::io::Error) -> Stop {
    Stop::new(Code::Config, format!("cannot listen on {address}"))
        .detail(error.to_string())
        .hint("another relay may run here: set http.listen to a free address, or to \"off\"")
}

/// For a client that takes its time.
const END_WITHIN: Duration = Duration::from_secs(1);
