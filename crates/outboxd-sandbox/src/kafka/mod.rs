//! A Kafka cluster of either flavour. This file only dispatches.

mod options;

use std::path::PathBuf;

pub(crate) use self::options::base_settings;
pub use self::options::{Brokers, KafkaOptions};
#[cfg(not(feature = "containers"))]
use crate::Error;
#[cfg(feature = "containers")]
use crate::containers::ContainerKafka;
use crate::{Flavour, KafkaTools, Result, processes::kafka::ProcessKafka};

/// A running cluster. Brokers are named by their node id, which counts from 1.
#[derive(Debug)]
pub struct Kafka {
    brokers: Brokers,
    cluster: Cluster,
}

/// Both variants have the same methods.
#[derive(Debug)]
enum Cluster {
    Process(ProcessKafka),
    #[cfg(feature = "containers")]
    Container(ContainerKafka),
}

/// Calls one method on whichever flavour of cluster there is.
macro_rules! dispatch {
    ($on:expr, $cluster:ident => $call:expr) => {
        match $on {
            Cluster::Process($cluster) => $call,
            #[cfg(feature = "containers")]
            Cluster::Container($cluster) => $call,
        }
    };
}

impl Kafka {
    pub async fn start(options: KafkaOptions) -> Result<Self> {
        Self::start_in(Flavour::choose().await?, options).await
    }

    pub async fn start_in(flavour: Flavour, options: KafkaOptions) -> Result<Self> {
        let brokers = options.brokers;
        let cluster = match flavour {
            Flavour::Processes => Cluster::Process(ProcessKafka::start(options).await?),
            #[cfg(feature = "containers")]
            Flavour::Containers => Cluster::Container(ContainerKafka::start(options).await?),
            #[cfg(not(feature = "containers"))]
            Flavour::Containers => return Err(Error::ContainersNotBuilt),
        };
        Ok(Self { brokers, cluster })
    }

    pub fn brokers(&self) -> usize {
        self.brokers.count()
    }

    /// `host:port` of every broker's plaintext listener, separated by commas.
    pub fn bootstrap(&self) -> String {
        dispatch!(&self.cluster, cluster => cluster.bootstrap())
    }

    /// `host:port` of every broker's extra listener with that security protocol.
    pub fn bootstrap_of(&self, listener: &str) -> Result<String> {
        dispatch!(&self.cluster, cluster => cluster.bootstrap_of(listener))
    }

    /// Java and Kafka's own command line tools.
    pub async fn tools(&self) -> Result<KafkaTools> {
        KafkaTools::locate().await
    }

    /// Everything a broker has logged since the sandbox was made.
    pub async fn log(&self, node: usize) -> Result<String> {
        dispatch!(&self.cluster, cluster => cluster.log(node).await)
    }

    /// Process id of a broker on this machine; none where it is not running or not visible.
    pub fn broker_pid(&self, node: usize) -> Option<u32> {
        dispatch!(&self.cluster, cluster => cluster.broker_pid(node))
    }

    /// A broker's data; none where its files are not this machine's.
    pub fn data_dir(&self, node: usize) -> Option<PathBuf> {
        dispatch!(&self.cluster, cluster => cluster.data_dir(node))
    }

    /// Stops a broker as an operator would and waits until it is gone.
    pub async fn stop_broker(&mut self, node: usize) -> Result<()> {
        dispatch!(&mut self.cluster, cluster => cluster.stop_broker(node).await)
    }

    /// Kills a broker as a power cut would.
    pub async fn kill_broker(&mut self, node: usize) -> Result<()> {
        dispatch!(&mut self.cluster, cluster => cluster.kill_broker(node).await)
    }

    /// Starts a stopped or killed broker on its old data and ports, and waits until it serves.
    pub async fn start_broker_again(&mut self, node: usize) -> Result<()> {
        dispatch!(&mut self.cluster, cluster => cluster.start_broker_again(node).await)
    }

    /// Suspends a broker; connections stay open and nothing answers.
    pub async fn freeze_broker(&mut self, node: usize) -> Result<()> {
        dispatch!(&mut self.cluster, cluster => cluster.freeze_broker(node).await)
    }

    pub async fn thaw_broker(&mut self, node: usize) -> Result<()> {
        dispatch!(&mut self.cluster, cluster => cluster.thaw_broker(node).await)
    }
}
