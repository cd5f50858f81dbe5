//! A Kafka cluster in containers, one per broker.
//!
//! Brokers reach each other by name in a network of their own. Clients come from outside, so every
//! listener for them has the same port inside and out, and announces the loopback address.

mod environment;

use std::path::PathBuf;
use std::time::Duration;

use testcontainers::{ContainerRequest, GenericImage, ImageExt};

use self::environment::Node;
use super::{container::Container, guard::Guard, image, readiness};
use crate::{Error, KafkaOptions, Result, host::port::Port};

#[derive(Debug)]
pub(crate) struct ContainerKafka {
    // Dropped in this order: the guard looks for what is left of the containers.
    brokers: Vec<Broker>,
    listeners: Vec<String>,
    _guard: Guard,
}

#[derive(Debug)]
struct Broker {
    node: usize,
    container: Container,
    port: Port,
    /// In the order of the extra listeners.
    extra_ports: Vec<Port>,
}

impl ContainerKafka {
    pub(crate) async fn start(options: KafkaOptions) -> Result<Self> {
        if !options.detours.is_empty() {
            return Err(Error::DetoursInContainers);
        }
        let guard = Guard::start()?;
        let mut brokers = Vec::new();
        for node in 1..=options.brokers.count() {
            brokers.push(Broker::start(node, &options, &guard).await?);
        }
        // None of several brokers is ready before a majority of them runs.
        for broker in &brokers {
            broker.wait_ready(brokers.len()).await?;
        }
        Ok(Self { brokers, listeners: options.listeners, _guard: guard })
    }

    pub(crate) fn bootstrap(&self) -> String {
        addresses(self.brokers.iter().map(|broker| &broker.port))
    }

    pub(crate) fn bootstrap_of(&self, listener: &str) -> Result<String> {
        let index = self.listeners.iter().position(|name| name == listener);
        let index = index.ok_or_else(|| Error::NoSuchListener(listener.to_owned()))?;
        Ok(addresses(self.brokers.iter().map(|broker| &broker.extra_ports[index])))
    }

    pub(crate) async fn log(&self, node: usize) -> Result<String> {
        self.broker(node)?.container.log().await
    }

    /// Processes in a container have their ids in the engine's name space, not in this machine's.
    pub(crate) fn broker_pid(&self, _node: usize) -> Option<u32> {
        None
    }

    pub(crate) fn data_dir(&self, _node: usize) -> Option<PathBuf> {
        None
    }

    pub(crate) async fn stop_broker(&mut self, node: usize) -> Result<()> {
        self.broker_mut(node)?.container.stop("SIGTERM", STOP_LIMIT).await
    }

    pub(crate) async fn kill_broker(&mut self, node: usize) -> Result<()> {
        self.broker_mut(node)?.container.kill().await
    }

    pub(crate) async fn start_broker_again(&mut self, node: usize) -> Result<()> {
        let broker = self.broker_mut(node)?;
        broker.container.start_again().await?;
        broker.wait_ready(1).await
    }

    pub(crate) async fn freeze_broker(&mut self, node: usize) -> Result<()> {
        self.broker_mut(node)?.container.freeze().await
    }

    pub(crate) async fn thaw_broker(&mut self, node: usize) -> Result<()> {
        self.broker_mut(node)?.container.thaw().await
    }

    fn broker(&self, node: usize) -> Result<&Broker> {
        let brokers = self.brokers.len();
        let found = self.brokers.iter().find(|broker| broker.node == node);
        found.ok_or(Error::NoSuchBroker { node, brokers })
    }

    fn broker_mut(&mut self, node: usize) -> Result<&mut Broker> {
        let brokers = self.brokers.len();
        let found = self.brokers.iter_mut().find(|broker| broker.node == node);
        found.ok_or(Error::NoSuchBroker { node, brokers })
    }
}

impl Broker {
    async fn start(node: usize, options: &KafkaOptions, guard: &Guard) -> Result<Self> {
        let port = Port::reserve()?;
        let extra_ports: Vec<Port> =
            options.listeners.iter().map(|_| Port::reserve()).collect::<Result<_>>()?;
        let extra = options.listeners.iter().map(String::as_str);
        let place = Node {
            id: node,
            cluster: guard.name(),
            port: port.number(),
            extra: extra.zip(extra_ports.iter().map(Port::number)).collect(),
        };
        let request = request(&place, options).with_network(guard.name());
        let bound: Vec<_> =
            std::iter::once(&port).chain(&extra_ports).map(|port| (port.number(), port)).collect();
        let container =
            Container::start(format!("kafka broker {node}"), request, guard, &bound).await?;
        Ok(Self { node, container, port, extra_ports })
    }

    /// Waits until the broker sees `live` brokers, itself among them.
    async fn wait_ready(&self, live: usize) -> Result<()> {
        let (port, node) = (self.port.number(), self.node);
        readiness::wait(&self.container, || readiness::kafka_answers(port, node, live)).await
    }
}

fn request(node: &Node<'_>, options: &KafkaOptions) -> ContainerRequest<GenericImage> {
    let settings = node.settings(options);
    let mut request = image::kafka()
        .with_container_name(node.host(node.id))
        // Settings name files relative to the working folder.
        .with_working_dir(FOLDER)
        .with_env_var("CLUSTER_ID", CLUSTER_ID)
        // Both have defaults in the image, which fill what is left empty.
        .with_env_var("KAFKA_HEAP_OPTS", "-Xmx512m")
        .with_env_var("KAFKA_JVM_PERFORMANCE_OPTS", options.jvm_args.join(" "));
    for (name, value) in &settings {
        request = request.with_env_var(environment::variable(name), value);
    }
    for (name, content) in &options.files {
        request = request.with_copy_to(format!("{FOLDER}/{name}"), content.clone());
    }
    if options.format_args.is_empty() {
        return request;
    }
    let properties: String =
        settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let mut command = vec!["bash".to_owned(), "-c".to_owned(), FORMAT_FIRST.to_owned()];
    command.push("format".to_owned());
    command.extend(options.format_args.iter().cloned());
    request
        .with_copy_to(format!("{FOLDER}/format.properties"), properties.into_bytes())
        .with_cmd(command)
}

fn addresses<'a>(ports: impl Iterator<Item = &'a Port>) -> String {
    let addresses = ports.map(|port| format!("127.0.0.1:{}", port.number()));
    addresses.collect::<Vec<_>>().join(",")
}

const FOLDER: &str = "/outboxd";

/// Every broker of a cluster has to be formatted for the same one; clusters never meet.
const CLUSTER_ID: &str = "b3V0Ym94ZC1zYW5kYm94MA";

/// The image formats without arguments of its own, and leaves alone what is formatted already.
const FORMAT_FIRST: &str = r#"
/opt/kafka/bin/kafka-run-class.sh kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id "$CLUSTER_ID" --config /outboxd/format.properties "$@" &&
exec /etc/kafka/docker/run
"#;

/// A controlled shutdown moves leaders first.
const STOP_LIMIT: Duration = Duration::from_secs(60);
