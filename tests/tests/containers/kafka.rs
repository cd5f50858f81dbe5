//! Kafka of the sandbox.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{Brokers, Kafka, KafkaOptions};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer, StreamConsumer},
    producer::{FutureProducer, FutureRecord},
};
use tokio::time::timeout;

use crate::{DEADLINE, FROZEN_FOR};

const TOPIC: &str = "orders";

#[tokio::test]
async fn acked_records_survive_stop_and_kill() -> Result<()> {
    let mut cluster = Kafka::start(KafkaOptions::default()).await?;
    create_topic(&cluster).await?;
    produce(&cluster, "one").await?;
    cluster.stop_broker(1).await?;
    cluster.start_broker_again(1).await?;
    produce(&cluster, "two").await?;
    // Acked means in the broker's memory, which a flush to disk by a clean stop would hide: it is
    // the file system, not the broker, that keeps it over a kill.
    cluster.kill_broker(1).await?;
    cluster.start_broker_again(1).await?;
    assert_eq!(consume(&cluster, 2).await?, ["one", "two"]);
    let again = cluster.start_broker_again(1).await;
    assert!(matches!(again, Err(outboxd_sandbox::Error::AlreadyRunning { .. })), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn a_frozen_broker_acks_after_the_thaw() -> Result<()> {
    let mut cluster = Kafka::start(KafkaOptions::default()).await?;
    create_topic(&cluster).await?;
    produce(&cluster, "one").await?;
    cluster.freeze_broker(1).await?;
    let producer = producer(&cluster)?;
    let second = send(&producer, "two");
    tokio::pin!(second);
    assert!(timeout(FROZEN_FOR, &mut second).await.is_err(), "a frozen broker acks");
    cluster.thaw_broker(1).await?;
    second.await?;
    assert_eq!(consume(&cluster, 2).await?, ["one", "two"]);
    Ok(())
}

#[tokio::test]
async fn three_brokers_do_without_one() -> Result<()> {
    let options = KafkaOptions { brokers: Brokers::Three, ..KafkaOptions::default() };
    let mut cluster = Kafka::start(options).await?;
    create_topic(&cluster).await?;
    for node in 1..=3 {
        cluster.kill_broker(node).await?;
        produce(&cluster, &node.to_string())
            .await
            .with_context(|| format!("without broker {node}"))?;
        cluster.start_broker_again(node).await?;
    }
    assert_eq!(consume(&cluster, 3).await?, ["1", "2", "3"]);
    Ok(())
}

#[tokio::test]
async fn a_listener_that_asks_for_a_password_knows_it() -> Result<()> {
    let cluster = Kafka::start(KafkaOptions {
        listeners: vec!["SASL_PLAINTEXT".to_owned()],
        settings: vec![
            setting("sasl.enabled.mechanisms", "SCRAM-SHA-256"),
            setting(
                "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
        ],
        format_args: vec![
            "--add-scram".to_owned(),
            "SCRAM-SHA-256=[name=alice,password=secret]".to_owned(),
        ],
        ..KafkaOptions::default()
    })
    .await?;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap_of("SASL_PLAINTEXT")?)
        .set("security.protocol", "sasl_plaintext")
        .set("sasl.mechanism", "SCRAM-SHA-256")
        .set("sasl.username", "alice");
    config.set("sasl.password", "wrong");
    assert!(brokers(&config, Duration::from_secs(3)).await.is_err(), "any password will do");
    config.set("sasl.password", "secret");
    assert_eq!(brokers(&config, DEADLINE).await?, 1);
    assert!(cluster.bootstrap_of("SSL").is_err());
    Ok(())
}

fn setting(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn client_config(cluster: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap());
    config
}

async fn create_topic(cluster: &Kafka) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = client_config(cluster).create()?;
    let replicas = i32::try_from(cluster.brokers())?;
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(replicas));
    let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
    for created in admin.create_topics([&topic], &options).await? {
        created.map_err(|(topic, code)| anyhow::anyhow!("create {topic}: {code}"))?;
    }
    Ok(())
}

async fn produce(cluster: &Kafka, value: &str) -> Result<()> {
    send(&producer(cluster)?, value).await
}

fn producer(cluster: &Kafka) -> Result<FutureProducer> {
    Ok(client_config(cluster).set("enable.idempotence", "true").create()?)
}

async fn send(producer: &FutureProducer, value: &str) -> Result<()> {
    let record = FutureRecord::<(), _>::to(TOPIC).partition(0).payload(value);
    producer.send(record, DEADLINE).await.map_err(|(error, _)| error)?;
    Ok(())
}

async fn consume(cluster: &Kafka, count: usize) -> Result<Vec<String>> {
    let consumer: StreamConsumer = client_config(cluster).set("group.id", "smoke").create()?;
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(TOPIC, 0, Offset::Beginning)?;
    consumer.assign(&start)?;
    let mut values = Vec::new();
    while values.len() < count {
        let record = timeout(DEADLINE, consumer.recv()).await??;
        ensure!(record.offset() >= 0);
        values.push(String::from_utf8(record.payload().unwrap_or_default().to_vec())?);
    }
    Ok(values)
}

async fn brokers(config: &ClientConfig, patience: Duration) -> Result<usize> {
    let client: AdminClient<DefaultClientContext> = config.create()?;
    let fetch =
        move || client.inner().fetch_metadata(None, patience).map(|all| all.brokers().len());
    Ok(tokio::task::spawn_blocking(fetch).await??)
}
