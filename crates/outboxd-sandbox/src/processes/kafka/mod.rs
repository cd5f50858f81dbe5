//! A Kafka cluster as processes of this machine, in one guarded folder.

mod broker;
mod classes;
mod config;
mod format;
pub(crate) mod probe;
pub(crate) mod tools;

use std::path::PathBuf;

use self::{
    broker::{Broker, write_logging},
    config::{Listeners, join, properties},
};
use crate::{
    Error, KafkaOptions, KafkaTools, Result,
    host::{account::Account, folder::Folder},
};

#[derive(Debug)]
pub(crate) struct ProcessKafka {
    /// Broker `node` is at `node - 1`, here and in `listeners`.
    brokers: Vec<Broker>,
    listeners: Vec<Listeners>,
    // Last, so that it is dropped last: its guard ends the processes.
    _folder: Folder,
}

impl ProcessKafka {
    pub(crate) async fn start(mut options: KafkaOptions) -> Result<Self> {
        let tools = KafkaTools::locate().await?;
        options.jvm_args.push(classes::kept(&tools).await?);
        Self::start_with(&tools, &options).await
    }

    async fn start_with(tools: &KafkaTools, options: &KafkaOptions) -> Result<Self> {
        // The ports were free a moment ago; should a stranger have taken one since, others will do.
        for _ in 1..PORT_ATTEMPTS {
            match Self::attempt(tools, options).await {
                Err(Error::EndedEarly { log, .. }) if log.contains(ADDRESS_IN_USE) => {}
                outcome => return outcome,
            }
        }
        Self::attempt(tools, options).await
    }

    async fn attempt(tools: &KafkaTools, options: &KafkaOptions) -> Result<Self> {
        let count = options.brokers.count();
        let listeners = Listeners::of_all(options)?;
        let folder = Folder::create(Account::Own)?;
        let cluster_id = format::random_id()?;
        let mut brokers = Vec::new();
        for node in 1..=count {
            let home = prepare(&folder, node, &listeners, options)?;
            format::create(tools, &cluster_id, node, &home, &options.format_args).await?;
            let port = listeners[node - 1].plaintext();
            brokers.push(Broker::new(node, port, home, tools, &options.jvm_args));
        }
        let mut cluster = Self { brokers, listeners, _folder: folder };
        cluster.launch_all().await?;
        Ok(cluster)
    }

    /// A quorum needs several brokers to come up, so all are launched before any is waited for.
    async fn launch_all(&mut self) -> Result<()> {
        let count = self.brokers.len();
        for broker in &mut self.brokers {
            broker.launch()?;
        }
        for broker in &mut self.brokers {
            broker.become_ready(count).await?;
        }
        Ok(())
    }

    pub(crate) fn bootstrap(&self) -> String {
        join(self.listeners.iter().map(|broker| format!("127.0.0.1:{}", broker.plaintext())))
    }

    pub(crate) fn bootstrap_of(&self, listener: &str) -> Result<String> {
        let ports = self.listeners.iter().map(|broker| broker.extra(listener));
        let ports = ports.collect::<Result<Vec<_>>>()?;
        Ok(join(ports.into_iter().map(|port| format!("127.0.0.1:{port}"))))
    }

    pub(crate) async fn log(&self, node: usize) -> Result<String> {
        let broker = node.checked_sub(1).and_then(|index| self.brokers.get(index));
        broker.ok_or(Error::NoSuchBroker { node, brokers: self.brokers.len() })?.log().await
    }

    pub(crate) fn broker_pid(&self, node: usize) -> Option<u32> {
        self.brokers.get(node.checked_sub(1)?)?.pid()
    }

    pub(crate) fn data_dir(&self, node: usize) -> Option<PathBuf> {
        Some(self.brokers.get(node.checked_sub(1)?)?.data_dir())
    }

    pub(crate) async fn stop_broker(&mut self, node: usize) -> Result<()> {
        self.broker(node)?.stop().await
    }

    pub(crate) async fn kill_broker(&mut self, node: usize) -> Result<()> {
        self.broker(node)?.kill().await
    }

    pub(crate) async fn start_broker_again(&mut self, node: usize) -> Result<()> {
        let broker = self.broker(node)?;
        broker.launch()?;
        broker.become_ready(1).await
    }

    pub(crate) async fn freeze_broker(&mut self, node: usize) -> Result<()> {
        self.broker(node)?.freeze().await
    }

    #[expect(clippy::unused_async, reason = "same signature as in a container")]
    pub(crate) async fn thaw_broker(&mut self, node: usize) -> Result<()> {
        self.broker(node)?.thaw()
    }

    fn broker(&mut self, node: usize) -> Result<&mut Broker> {
        let brokers = self.brokers.len();
        let broker = node.checked_sub(1).and_then(|index| self.brokers.get_mut(index));
        broker.ok_or(Error::NoSuchBroker { node, brokers })
    }
}

/// Makes the folder of one broker with everything but its data.
fn prepare(
    folder: &Folder,
    node: usize,
    listeners: &[Listeners],
    options: &KafkaOptions,
) -> Result<PathBuf> {
    let home = folder.create_dir(&node.to_string())?;
    let properties = properties(node, listeners, options);
    folder.write(&home.join(format::PROPERTIES), properties.as_bytes())?;
    for (name, content) in &options.files {
        folder.write(&home.join(name), content)?;
    }
    write_logging(&home)?;
    Ok(home)
}

const PORT_ATTEMPTS: usize = 3;
const ADDRESS_IN_USE: &str = "Address already in use";
