//! Kafka: librdkafka's mock cluster in a process of its own, a real broker started for the demo, or
//! one of the user's.

mod embedded;
mod removal;

use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use outboxd_relay::sink;
use outboxd_relay::sink::settings::KafkaSettings;
use outboxd_sandbox::{Flavour, Kafka, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;

use self::embedded::Embedded;
pub(super) use self::embedded::{DONE, Order};
use super::database::chain;
use super::names::Names;
use super::plan::Kind;

#[derive(Debug)]
pub(crate) enum BrokerChoice {
    Embedded,
    Sandbox,
    Yours(String),
}

pub(super) enum Broker {
    Embedded(Box<Embedded>),
    Sandbox(Box<Kafka>),
    Yours(String),
}

impl Broker {
    pub(super) async fn start(choice: &BrokerChoice, names: &Names) -> Result<Self, Stop> {
        match choice {
            BrokerChoice::Embedded => {
                Embedded::start(names).await.map(|embedded| Self::Embedded(Box::new(embedded)))
            }
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
            Self::Embedded(embedded) => embedded.bootstrap.clone(),
            Self::Sandbox(kafka) => kafka.bootstrap(),
            Self::Yours(bootstrap) => bootstrap.clone(),
        }
    }

    pub(super) fn describe(&self) -> String {
        let bootstrap = self.bootstrap();
        match self {
            Self::Embedded(_) => format!("Kafka: embedded broker of librdkafka on {bootstrap}"),
            Self::Sandbox(_) => format!("Kafka: a broker of its own on {bootstrap}"),
            Self::Yours(_) => format!("Kafka: yours on {bootstrap}"),
        }
    }

    /// Topics for the events, of which that of the gifts does not take them yet. The relay makes its
    /// progress topic itself where the broker can.
    pub(super) async fn create_topics(&self, names: &Names) -> Result<(), Stop> {
        let [orders, gifts] = &names.event_topics();
        if let Self::Embedded(_) = self {
            // It was born with them.
            return Ok(());
        }
        let copies = || TopicReplication::Fixed(BROKER_DEFAULT);
        let new = |topic| NewTopic::new(topic, PARTITIONS, copies());
        let limit = GIFT_BYTES_MAX.to_string();
        let topics = [new(orders), new(gifts).set(SIZE_LIMIT, &limit)];
        let created = admin(&self.bootstrap()).map_err(refused)?;
        let created = created.create_topics(&topics, &within()).await.map_err(refused)?;
        created.into_iter().try_for_each(|result| match result {
            Ok(_) => Ok(()),
            Err((_, code)) => Err(refused(KafkaError::AdminOp(code))),
        })
    }

    /// Mends the topic of the gifts, as whoever runs the broker would.
    pub(super) async fn accept_gifts(&mut self, names: &Names) -> Result<(), Stop> {
        if let Self::Embedded(embedded) = self {
            return embedded.tell(Order::AcceptGifts).await;
        }
        let gifts = names.topic(Kind::Gift);
        let limit = BYTES_MAX.to_string();
        let altered = AlterConfig::new(ResourceSpecifier::Topic(&gifts)).set(SIZE_LIMIT, &limit);
        let admin = admin(&self.bootstrap()).map_err(refused)?;
        let results = admin.alter_configs(&[altered], &within()).await.map_err(refused)?;
        results.into_iter().try_for_each(|result| match result {
            Ok(_) => Ok(()),
            Err((_, code)) => Err(refused(KafkaError::AdminOp(code))),
        })
    }

    /// Whether the broker is ours to stop.
    pub(super) fn can_be_stopped(&self) -> bool {
        !matches!(self, Self::Yours(_))
    }

    pub(super) async fn stop(&mut self) -> Result<(), Stop> {
        match self {
            Self::Embedded(embedded) => embedded.tell(Order::Stop).await,
            Self::Sandbox(kafka) => kafka.stop_broker(1).await.map_err(|error| not_run(&error)),
            Self::Yours(_) => Ok(()),
        }
    }

    pub(super) async fn start_again(&mut self) -> Result<(), Stop> {
        match self {
            Self::Embedded(embedded) => embedded.tell(Order::Start).await,
            Self::Sandbox(kafka) => {
                kafka.start_broker_again(1).await.map_err(|error| not_run(&error))
            }
            Self::Yours(_) => Ok(()),
        }
    }

    /// Removes what was made on a broker that stays.
    pub(super) async fn remove(self, names: &Names) -> Result<(), Stop> {
        match self {
            Self::Yours(bootstrap) => removal::remove(&bootstrap, names).await,
            Self::Embedded(_) | Self::Sandbox(_) => Ok(()),
        }
    }
}

/// What every client of the demo needs, so that it notices at once what happens here in a minute.
pub(super) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("allow.auto.create.topics", "false")
        // The topic of the gifts is mended in the middle of it all.
        .set("topic.metadata.refresh.interval.ms", "500")
        // The broker goes and comes.
        .set("reconnect.backoff.max.ms", "500");
    config
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    client(bootstrap).create()
}

fn within() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn refused(error: KafkaError) -> Stop {
    Stop::new(Code::KafkaUnreachable, "Kafka refused what the demo needs").detail(chain(&error))
}

fn not_run(error: &outboxd_sandbox::Error) -> Stop {
    let message = "the demo's Kafka cannot be stopped and started";
    Stop::new(Code::KafkaUnreachable, message).detail(chain(error))
}

/// Of each topic with events: several, so that order is kept by key and not by luck.
pub(super) const PARTITIONS: i32 = 4;
const BROKER_DEFAULT: i32 = -1;
const SIZE_LIMIT: &str = "max.message.bytes";
/// What the topic of the gifts takes at first: less than the letter that comes with one.
const GIFT_BYTES_MAX: usize = 4_096;
/// Kafka's default.
const BYTES_MAX: usize = 1_048_588;
const LIMIT: Duration = Duration::from_secs(15);
