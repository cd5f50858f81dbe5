//! Waits until a server in a container serves. A port that accepts proves nothing: the engine's
//! proxy accepts before the server does, so each kind of server is asked in its own protocol.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};
use tokio_postgres::{NoTls, error::SqlState};

use super::container::Container;
use crate::{Error, Result};

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

/// Whether the broker `node` lists itself among the live brokers, which it does from the moment it
/// may lead partitions.
pub(crate) async fn kafka_answers(port: u16, node: usize) -> bool {
    live_brokers(port)
        .await
        .is_ok_and(|nodes| nodes.iter().any(|&live| i32::try_from(node) == Ok(live)))
}

/// Node ids in the answer to a Metadata request, version 1, for no topic.
async fn live_brokers(port: u16) -> std::io::Result<Vec<i32>> {
    let mut broker = TcpStream::connect(("127.0.0.1", port)).await?;
    broker.write_all(&METADATA_REQUEST).await?;
    let _length = broker.read_i32().await?;
    let _correlation = broker.read_i32().await?;
    let mut nodes = Vec::new();
    for _ in 0..broker.read_i32().await? {
        nodes.push(broker.read_i32().await?);
        let _host = read_string(&mut broker).await?;
        let _port = broker.read_i32().await?;
        let _rack = read_string(&mut broker).await?;
    }
    Ok(nodes)
}

/// A null string has the length -1 and no bytes.
async fn read_string(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(from.read_i16().await?).unwrap_or(0)];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Length 14, API key 3 (Metadata), version 1, correlation id 0, no client id, no topics.
const METADATA_REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// The first start of an image may have to share a small machine with other tests.
const LIMIT: Duration = Duration::from_secs(120);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
