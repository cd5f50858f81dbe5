//! Servers in containers of any Docker-compatible engine, through testcontainers.
//!
//! What sets them apart from processes: clients come from the engine's network, so lines of
//! pg_hba.conf that name an address do not match them; nothing of the server lies on this machine
//! but its ports, which are bound to the loopback address only; and an image decides the version.
//!
//! A container belongs to the value that started it. Testcontainers removes it on drop; a guard
//! process removes it when this process dies without a chance to.

mod container;
mod guard;
mod image;
mod kafka;
mod postgres;
mod readiness;

use std::{process::Stdio, time::Duration};

use testcontainers::core::client::docker_client_instance;
use tokio::{process::Command, time};

pub(crate) use self::{kafka::ContainerKafka, postgres::ContainerPostgres};

/// Whether servers can be run in containers: an engine has to answer to testcontainers, which
/// starts them, and to the command line client, which the guard removes them with.
pub(crate) async fn engine_answers() -> bool {
    time::timeout(PATIENCE, async { api_answers().await && client_answers().await })
        .await
        .unwrap_or(false)
}

async fn api_answers() -> bool {
    match docker_client_instance().await {
        Ok(engine) => engine.ping().await.is_ok(),
        Err(_) => false,
    }
}

async fn client_answers() -> bool {
    let mut client = Command::new("docker");
    client.args(["version", "--format", "{{.Server.Version}}"]).kill_on_drop(true);
    client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    client.status().await.is_ok_and(|status| status.success())
}

/// An engine that takes longer to say hello is of no use for tests.
const PATIENCE: Duration = Duration::from_secs(5);
