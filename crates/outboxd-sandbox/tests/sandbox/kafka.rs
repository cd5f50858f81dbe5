//! Kafka as processes: one broker, three, and a listener that asks who is there.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{Brokers, Error, Flavour, Kafka, KafkaOptions};

use crate::look::state;

#[tokio::test]
async fn one_broker_keeps_its_data_over_a_kill_and_a_stop() -> Result<()> {
    let mut kafka = start(KafkaOptions::default()).await?;
    let bootstrap = kafka.bootstrap();
    topics(&kafka, &bootstrap, &["--create", "--topic", "kept", "--partitions", "2"]).await?;
    kafka.kill_broker(1).await?;
    kafka.start_broker_again(1).await?;
    assert_eq!(kafka.bootstrap(), bootstrap);
    kafka.stop_broker(1).await?;
    kafka.start_broker_again(1).await?;
    let said = topics(&kafka, &bootstrap, &["--describe", "--topic", "kept"]).await?;
    ensure!(said.contains("PartitionCount: 2"), "{said}");
    ensure!(kafka.log(1).await?.matches("Kafka Server started").count() == 3);
    Ok(())
}

#[tokio::test]
async fn a_broker_is_frozen_and_thawed_and_refuses_what_makes_no_sense() -> Result<()> {
    let mut kafka = start(KafkaOptions::default()).await?;
    let pid = kafka.broker_pid(1).context("running")?.to_string();
    kafka.freeze_broker(1).await?;
    assert_eq!(state(&pid), Some('T'));
    kafka.thaw_broker(1).await?;
    let bootstrap = kafka.bootstrap();
    topics(&kafka, &bootstrap, &["--list"]).await?;
    ensure!(matches!(kafka.start_broker_again(1).await, Err(Error::AlreadyRunning { .. })));
    for nobody in [0, 2] {
        ensure!(matches!(kafka.kill_broker(nobody).await, Err(Error::NoSuchBroker { .. })));
        ensure!(matches!(kafka.log(nobody).await, Err(Error::NoSuchBroker { .. })));
        ensure!(kafka.broker_pid(nobody).is_none());
    }
    kafka.kill_broker(1).await?;
    ensure!(matches!(kafka.stop_broker(1).await, Err(Error::NotRunning { .. })));
    ensure!(kafka.broker_pid(1).is_none());
    Ok(())
}

#[tokio::test]
async fn three_brokers_hold_a_topic_together_and_survive_the_loss_of_one() -> Result<()> {
    let mut kafka =
        start(KafkaOptions { brokers: Brokers::Three, ..KafkaOptions::default() }).await?;
    assert_eq!(kafka.brokers(), 3);
    let bootstrap = kafka.bootstrap();
    topics(&kafka, &bootstrap, &["--create", "--topic", "shared"]).await?;
    let said = topics(&kafka, &bootstrap, &["--describe", "--topic", "shared"]).await?;
    ensure!(said.contains("ReplicationFactor: 3"), "{said}");
    ensure!(said.contains("min.insync.replicas=2"), "{said}");
    kafka.kill_broker(2).await?;
    topics(&kafka, &bootstrap, &["--describe", "--topic", "shared"]).await?;
    kafka.start_broker_again(2).await?;
    Ok(())
}

#[tokio::test]
async fn a_listener_with_a_login_lets_in_who_was_added_at_format() -> Result<()> {
    let kafka = start(KafkaOptions {
        listeners: vec!["SASL_PLAINTEXT".to_owned()],
        settings: vec![
            ("sasl.enabled.mechanisms".to_owned(), "SCRAM-SHA-256".to_owned()),
            (
                "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config".to_owned(),
                "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned(),
            ),
        ],
        files: vec![("client.properties".to_owned(), login("secret"))],
        format_args: vec![
            "--add-scram".to_owned(),
            "SCRAM-SHA-256=[name=relay,password=secret]".to_owned(),
        ],
        ..KafkaOptions::default()
    })
    .await?;
    let bootstrap = kafka.bootstrap_of("SASL_PLAINTEXT")?;
    assert_ne!(bootstrap, kafka.bootstrap());
    ensure!(matches!(kafka.bootstrap_of("SSL"), Err(Error::NoSuchListener(_))));
    let home = working_folder(&kafka)?;
    let config = home.join("client.properties").display().to_string();
    topics(&kafka, &bootstrap, &["--list", "--command-config", &config]).await?;

    std::fs::write(&config, login("wrong"))?;
    let refused = topics(&kafka, &bootstrap, &["--list", "--command-config", &config]).await;
    let refused = refused.err().context("let in with a wrong password")?.to_string();
    ensure!(refused.contains("Authentication failed"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_broker_that_cannot_start_says_why() -> Result<()> {
    let settings = vec![("log.retention.bytes".to_owned(), "many".to_owned())];
    let refused = start(KafkaOptions { settings, ..KafkaOptions::default() }).await;
    let Err(Error::EndedEarly { log, .. }) = refused else {
        anyhow::bail!("not refused: {refused:?}");
    };
    ensure!(log.contains("log.retention.bytes"), "{log}");
    Ok(())
}

async fn start(options: KafkaOptions) -> outboxd_sandbox::Result<Kafka> {
    Kafka::start_in(Flavour::Processes, options).await
}

fn login(password: &str) -> Vec<u8> {
    format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n\
         sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
         username=\"relay\" password=\"{password}\";\n"
    )
    .into_bytes()
}

/// Asks Kafka's own topics tool, which succeeds only if the cluster works.
async fn topics(kafka: &Kafka, bootstrap: &str, args: &[&str]) -> Result<String> {
    let tools = kafka.tools().await?;
    let quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned);
    let mut command: Command = tools.command(&quick, "org.apache.kafka.tools.TopicCommand");
    command.args(["--bootstrap-server", bootstrap]).args(args);
    let output = tokio::process::Command::from(command).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{complaint}");
    Ok(said)
}

fn working_folder(kafka: &Kafka) -> Result<std::path::PathBuf> {
    let pid = kafka.broker_pid(1).context("running")?;
    Ok(std::fs::read_link(Path::new("/proc").join(pid.to_string()).join("cwd"))?)
}
