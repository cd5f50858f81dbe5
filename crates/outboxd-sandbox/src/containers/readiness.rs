//! Waits until a server in a container serves. A port that accepts proves nothing: the engine's
//! proxy accepts before the server does, so each kind of server is asked in its own protocol.

use std::time::{Duration, Instant};

use tokio::time;
use tokio_postgres::{NoTls, error::SqlState};

use super::container::Container;
use crate::{Error, Result, processes::kafka::probe::live_brokers};

/// Asks `probe` until it says yes, the container ends, or the limit is reached.
pub(crate) async fn wait<F>(container: &Container, probe: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = bool>,
{
    let begun = Instant::now();
    while !time::timeout(PROBE_LIMIT, probe()).await.unwrap_or(false) {
        if !container.is_running().await? {
            let log = container.log().await?;
            return Err(Error::Container(format!(
                "{} ended while starting\n{log}",
                container.server()
            )));
        }
        if begun.elapsed() > LIMIT {
            let (server, log) = (container.server().to_owned(), container.log().await?);
            return Err(Error::NotReady { server, limit: LIMIT, log });
        }
        time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A refused login is an answer of a server that is up; "the database system is starting up" is not.
pub(crate) async fn postgres_answers(url: &str) -> bool {
    match tokio_postgres::connect(url, NoTls).await {
        Ok(_) => true,
        Err(error) => error.code().is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW),
    }
}

/// Whether the broker `node` sees `live` live brokers, itself among them: it does from the moment it
/// may lead partitions.
pub(crate) async fn kafka_answers(port: u16, node: usize, live: usize) -> bool {
    let seen = live_brokers(port).await;
    seen.len() >= live && seen.iter().any(|&id| usize::try_from(id) == Ok(node))
}

/// The first start of an image may have to share a small machine with other tests.
const LIMIT: Duration = Duration::from_secs(120);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
