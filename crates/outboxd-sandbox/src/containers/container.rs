//! One container and what can be done to it from outside.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt, TestcontainersError,
    bollard::{
        self,
        models::PortBinding,
        query_parameters::{KillContainerOptions, WaitContainerOptions},
    },
    core::{IntoContainerPort, client::docker_client_instance},
    runners::AsyncRunner,
};
use tokio::{runtime, time};

use super::guard::{Guard, LABEL};
use crate::{Error, Result, host::port::Port};

#[derive(Debug)]
pub(crate) struct Container {
    /// How messages name it, such as `postgres 17`.
    server: String,
    engine: bollard::Docker,
    /// Empty only while dropping.
    running: Option<Box<ContainerAsync<GenericImage>>>,
    id: String,
    frozen: bool,
}

impl Container {
    /// Starts a container that `guard` watches over. `ports` are pairs of a port inside and the one
    /// of this machine that leads to it.
    pub(crate) async fn start(
        server: String,
        request: ContainerRequest<GenericImage>,
        guard: &Guard,
        ports: &[(u16, &Port)],
    ) -> Result<Self> {
        let bindings = bindings(ports);
        let engine = docker_client_instance().await.map_err(|_| Error::NoEngine)?;
        // The engine binds only what is also exposed, which this does.
        let exposing = ports.iter().fold(request, |request, (inside, port)| {
            request.with_mapped_port(port.number(), inside.tcp())
        });
        let running = exposing
            .with_label(LABEL, guard.name())
            .with_host_config_modifier(move |host| {
                host.port_bindings = Some(bindings.clone());
            })
            .start()
            .await
            .map_err(|error| failed(&format!("start {server}"), &error))?;
        let id = running.id().to_owned();
        Ok(Self { server, engine, running: Some(Box::new(running)), id, frozen: false })
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) async fn is_running(&self) -> Result<bool> {
        self.running().is_running().await.map_err(|error| self.failed("inspect", &error))
    }

    /// Everything written to either stream, the standard output first.
    pub(crate) async fn log(&self) -> Result<String> {
        let mut log =
            self.running().stdout_to_vec().await.map_err(|error| self.failed("log", &error))?;
        log.extend(
            self.running().stderr_to_vec().await.map_err(|error| self.failed("log", &error))?,
        );
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Sends `signal` to the server alone and waits for its end.
    pub(crate) async fn stop(&mut self, signal: &str, limit: Duration) -> Result<()> {
        self.must_run().await?;
        self.signal(signal).await?;
        time::timeout(limit, self.ended())
            .await
            .map_err(|_| Error::StillRunning { server: self.server.clone(), limit })
    }

    /// Kills every process in the container: they go with the first one.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.must_run().await?;
        self.signal("SIGKILL").await?;
        // A frozen process may only die once it is thawed, and may have died already.
        if self.frozen
            && let Err(error) = self.thaw().await
        {
            tracing::debug!(%error, "a killed container needed no thaw");
        }
        self.frozen = false;
        time::timeout(KILL_LIMIT, self.ended())
            .await
            .map_err(|_| Error::StillRunning { server: self.server.clone(), limit: KILL_LIMIT })
    }

    pub(crate) async fn start_again(&mut self) -> Result<()> {
        if self.is_running().await? {
            return Err(Error::AlreadyRunning { server: self.server.clone() });
        }
        self.running().start().await.map_err(|error| self.failed("start again", &error))
    }

    pub(crate) async fn freeze(&mut self) -> Result<()> {
        self.must_run().await?;
        self.running().pause().await.map_err(|error| self.failed("freeze", &error))?;
        self.frozen = true;
        Ok(())
    }

    pub(crate) async fn thaw(&mut self) -> Result<()> {
        self.running().unpause().await.map_err(|error| self.failed("thaw", &error))?;
        self.frozen = false;
        Ok(())
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let sent = self.engine.kill_container(&self.id, Some(options)).await;
        sent.map_err(|error| failed(&format!("signal {}", self.server), &error))
    }

    /// The engine ends the stream when the container is not running (any more); how it ended is of
    /// no interest.
    async fn ended(&self) {
        let mut end = Box::pin(self.engine.wait_container(&self.id, None::<WaitContainerOptions>));
        while end.next().await.is_some() {}
    }

    async fn must_run(&self) -> Result<()> {
        if self.is_running().await? {
            return Ok(());
        }
        Err(Error::NotRunning { server: self.server.clone() })
    }

    fn running(&self) -> &ContainerAsync<GenericImage> {
        self.running.as_deref().expect("only drop takes the container out")
    }

    fn failed(&self, doing: &str, error: &TestcontainersError) -> Error {
        failed(&format!("{doing} {}", self.server), error)
    }
}

impl Drop for Container {
    /// Testcontainers removes a container by the runtime it is dropped in, and panics without one.
    fn drop(&mut self) {
        let running = self.running.take();
        if runtime::Handle::try_current().is_ok() {
            drop(running);
            return;
        }
        match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(own) => own.block_on(async { drop(running) }),
            // The guard removes it instead.
            Err(_) => std::mem::forget(running),
        }
    }
}

/// Bound to the loopback address only: sandbox servers trust everybody who reaches them.
fn bindings(ports: &[(u16, &Port)]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = |port: &Port| PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some(port.number().to_string()),
    };
    ports
        .iter()
        .map(|(inside, port)| (format!("{inside}/tcp"), Some(vec![binding(port)])))
        .collect()
}

/// Engine errors are chains whose cause tells most.
fn failed(doing: &str, error: &dyn std::error::Error) -> Error {
    let mut text = format!("{doing}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    Error::Container(text)
}

/// The engine has to notice the end and to release the network.
const KILL_LIMIT: Duration = Duration::from_secs(30);
