//! The Kafka of the benchmark, and topics in it that belong to one run each.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, anyhow};
use outboxd_sandbox::{Flavour, Kafka, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::topic::Topic;

pub(crate) struct Broker {
    pub(crate) kafka: Kafka,
    admin: AdminClient<DefaultClientContext>,
    topics: Cell<u32>,
}

impl Broker {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        eprintln!("bench: starting Kafka");
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let options = KafkaOptions {
            settings: vec![("file.delete.delay.ms".to_owned(), "1000".to_owned())],
            jvm_args: words(JVM),
            ..KafkaOptions::default()
        };
        let kafka = Kafka::start_in(Flavour::Processes, options).await?;
        let admin = client(&kafka.bootstrap()).create().context("no Kafka client")?;
        Ok(Self { kafka, admin, topics: Cell::new(0) })
    }

    /// A new topic that stamps records with the time of their arrival.
    pub(crate) async fn create_topic(&self) -> anyhow::Result<Topic> {
        self.topics.set(self.topics.get() + 1);
        let name = format!("bench-{}", self.topics.get());
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        let results = self.admin.create_topics([&topic], &options()).await?;
        for result in results {
            result.map_err(|(name, error)| anyhow!("cannot create the topic {name}: {error}"))?;
        }
        let topic = Topic { name, bootstrap: self.kafka.bootstrap() };
        topic.become_ready().await?;
        Ok(topic)
    }

    /// Makes room on the disk.
    pub(crate) async fn delete_topics(&self, names: &[&str]) -> anyhow::Result<()> {
        for result in self.admin.delete_topics(names, &options()).await? {
            result.map_err(|(name, error)| anyhow!("cannot delete the topic {name}: {error}"))?;
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.kafka.broker_pid(1)
    }

    /// As in the name of the broker's own jar.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let classpath = self.kafka.tools().await?.classpath();
        let folder = classpath.trim_end_matches('*');
        for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {folder}"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix(JAR).and_then(|rest| rest.strip_suffix(".jar"));
            if let Some(version) = version {
                return Ok(version.to_owned());
            }
        }
        Ok("of unknown version".to_owned())
    }
}

pub(crate) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)))
}

pub(crate) const PARTITIONS: i32 = 4;
const JAR: &str = "kafka_2.13-";
/// What one would give a broker that matters, and both compilers.
const JVM: &[&str] = &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"];
