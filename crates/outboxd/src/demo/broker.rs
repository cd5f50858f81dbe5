//! Kafka: librdkafka's mock cluster in this process, a real one started for the demo, or one of the
//! user's.

use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use outboxd_relay::sink;
use outboxd_relay::sink::settings::KafkaSettings;
use outboxd_sandbox::{Flavour, Kafka, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::database::chain;
use super::names::Names;

#[derive(Debug)]
pub(crate) enum BrokerChoice {
    InProcess,
    Sandbox,
    Yours(String),
}

pub(super) enum Broker {
    InProcess(MockCluster<'static, DefaultProducerContext>),
    Sandbox(Box<Kafka>),
    Yours(String),
}

impl Broker {
    pub(super) async fn start(choice: &BrokerChoice) -> Result<Self, Stop> {
        match choice {
            BrokerChoice::InProcess => MockCluster::new(1).map(Self::InProcess).map_err(refused),
            BrokerChoice::Sandbox => {
                let kafka = Kafka::start_in(Flavour::Processes, KafkaOptions::default()).await;
                kafka.map(|kafka| Self::Sandbox(Box::new(kafka))).map_err(|error| {
                    let message = "no Kafka could be started for the demo";
                    Stop::new(Code::KafkaUnreachable, message)
                        .detail(chain(&error))
                        .hint("leave out --kafka-sandbox for the broker that is built in")
                })
            }
            BrokerChoice::Yours(bootstrap) => {
                let reached = sink::reach(&KafkaSettings::plaintext(bootstrap)).await;
                reached.map(|()| Self::Yours(bootstrap.clone())).map_err(|error| {
                    Stop::new(Code::KafkaUnreachable, "Kafka cannot be used")
                        .detail(chain(&error))
                        .hint("the demo speaks plaintext: check --kafka, and that a broker runs there")
                })
            }
        }
    }

    pub(super) fn bootstrap(&self) -> String {
        match self {
            Self::InProcess(cluster) => cluster.bootstrap_servers(),
            Self::Sandbox(kafka) => kafka.bootstrap(),
            Self::Yours(bootstrap) => bootstrap.clone(),
        }
    }

    pub(super) fn describe(&self) -> String {
        let bootstrap = self.bootstrap();
        match self {
            Self::InProcess(_) => format!("Kafka: in-process broker of librdkafka on {bootstrap}"),
            Self::Sandbox(_) => format!("Kafka: a broker of its own on {bootstrap}"),
            Self::Yours(_) => format!("Kafka: yours on {bootstrap}"),
        }
    }

    /// Topics for the events. The relay makes its progress topic itself where the broker can.
    pub(super) async fn create_topics(&self, names: &Names) -> Result<(), Stop> {
        let topics = names.event_topics();
        if let Self::InProcess(cluster) = self {
            let create = |topic: &str, partitions| cluster.create_topic(topic, partitions, 1);
            create(&names.progress_topic(), 1).map_err(refused)?;
            return topics.iter().try_for_each(|topic| create(topic, PARTITIONS).map_err(refused));
        }
        let copies = || TopicReplication::Fixed(BROKER_DEFAULT);
        let new = |topic| NewTopic::new(topic, PARTITIONS, copies());
        let topics: Vec<_> = topics.iter().map(String::as_str).map(new).collect();
        let created = admin(&self.bootstrap()).map_err(refused)?;
        let created = created.create_topics(&topics, &within()).await.map_err(refused)?;
        created.into_iter().try_for_each(|result| match result {
            Ok(_) => Ok(()),
            Err((_, code)) => Err(refused(KafkaError::AdminOp(code))),
        })
    }

    /// Removes what was made on a broker that stays.
    pub(super) async fn remove(self, names: &Names) -> Result<(), Stop> {
        let Self::Yours(bootstrap) = self else { return Ok(()) };
        let mut topics = names.event_topics();
        topics.push(names.progress_topic());
        let asked: Vec<&str> = topics.iter().map(String::as_str).collect();
        let left_over = |error: KafkaError| {
            Stop::new(Code::KafkaUnreachable, "the demo could not remove its topics")
                .detail(chain(&error))
                .hint(format!("delete {}", asked.join(", ")))
        };
        let deleted = admin(&bootstrap).map_err(left_over)?;
        let deleted = deleted.delete_topics(&asked, &within()).await.map_err(left_over)?;
        deleted.into_iter().try_for_each(|result| match result {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(()),
            Err((_, code)) => Err(left_over(KafkaError::AdminOp(code))),
        })
    }
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).create()
}

fn within() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn refused(error: KafkaError) -> Stop {
    Stop::new(Code::KafkaUnreachable, "Kafka refused what the demo needs").detail(chain(&error))
}

/// Of each topic with events: several, so that order is kept by key and not by luck.
pub(super) const PARTITIONS: i32 = 4;
const BROKER_DEFAULT: i32 = -1;
const LIMIT: Duration = Duration::from_secs(15);
