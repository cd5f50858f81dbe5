//! Kafka's own tools, which share no code with us: they see the same records, and place keys alike.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use outboxd_core::murmur2::partition;
use outboxd_tests::scene::{Scene, unique};
use outboxd_tests::servers;
use outboxd_tests::topic::Record;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const PARTITIONS: i32 = 8;

#[tokio::test]
async fn the_java_console_consumer_sees_partition_headers_key_and_value() -> Result<()> {
    let scene = Scene::new().await?;
    scene.topic(PARTITIONS).await?;
    let mut relay = scene.relay().start().await?;
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload, headers)
         select '{}', 'order-' || i, 'Placed', jsonb_build_object('n', i, 'text', 'Zürich 🦀'),
                jsonb_build_object('trace', 't-' || i)
         from generate_series(1, 20) i
         returning id::text, aggregateid, payload::text",
        scene.kind()
    );
    let mut expected = Vec::new();
    for (index, row) in scene.database.query(&sql).await?.iter().enumerate() {
        let (id, key, value): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let place = partition(Some(key.as_bytes()), id.as_bytes(), PARTITIONS.unsigned_abs());
        let ordinal = format!("{index:08X}");
        let trace = format!("trace:t-{}", index + 1);
        expected.push((place, id, ordinal, trace, key, value));
    }
    let said = consume(&scene, expected.len()).await?;
    ensure!(said.lines().count() == expected.len(), "{said}");
    for (place, id, ordinal, trace, key, value) in expected {
        let start = format!("Partition:{place}\tid:{id},type:Placed,sequence:");
        let end = format!("-{ordinal},{trace}\t{key}\t{value}");
        let found = said.lines().any(|line| line.starts_with(&start) && line.ends_with(&end));
        ensure!(found, "no line {start}…{end} in\n{said}");
    }
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_java_console_producer_places_keys_alike() -> Result<()> {
    let scene = Scene::new().await?;
    let ours = scene.topic(PARTITIONS).await?;
    let theirs = scene.cluster.create_topic(&unique("java-"), PARTITIONS, &[]).await?;
    let mut relay = scene.relay().start().await?;
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select '{}', key, 'T', '1' from unnest($${{{}}}$$::text[]) key",
        scene.kind(),
        KEYS.join(",")
    );
    scene.database.execute(&sql).await?;
    let lines: Vec<String> = KEYS.iter().map(|key| format!("{key}\t1\n")).collect();
    produce(&scene, theirs.name(), lines.concat()).await?;
    let ours = places(&ours.read_at_least(KEYS.len()).await?);
    let theirs = places(&theirs.read_at_least(KEYS.len()).await?);
    ensure!(ours.len() == KEYS.len() && ours == theirs, "{ours:?} is not {theirs:?}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

fn places(records: &[Record]) -> BTreeMap<String, i32> {
    records.iter().map(|record| (record.key_text(), record.partition)).collect()
}

async fn produce(scene: &Scene, topic: &str, lines: String) -> Result<()> {
    let mut command = java("org.apache.kafka.tools.ConsoleProducer").await?;
    command.args(["--bootstrap-server", scene.cluster.bootstrap(), "--topic", topic]);
    command.args(["--property", "parse.key=true"]);
    let mut producer = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = producer.stdin.take().context("stdin is piped")?;
    stdin.write_all(lines.as_bytes()).await?;
    drop(stdin);
    let output = producer.wait_with_output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn consume(scene: &Scene, count: usize) -> Result<String> {
    let mut command = java("org.apache.kafka.tools.consumer.ConsoleConsumer").await?;
    command.args(["--bootstrap-server", scene.cluster.bootstrap(), "--from-beginning"]);
    command.args(["--topic", &scene.topic_name(), "--max-messages", &count.to_string()]);
    command.args(["--timeout-ms", "60000"]);
    for shown in ["print.partition", "print.headers", "print.key"] {
        command.args(["--property", &format!("{shown}=true")]);
    }
    let output = command.stdin(Stdio::null()).output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).context("UTF-8")
}

/// One of Kafka's tools, in a hurry. Its kinds of text must not depend on where the test runs.
async fn java(class: &str) -> Result<Command> {
    let quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned);
    let utf8 = ["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"].map(str::to_owned);
    let tools = servers::kafka().await?.tools().await?;
    let mut command = Command::from(tools.command(&[quick, utf8].concat(), class));
    command.kill_on_drop(true);
    Ok(command)
}

const KEYS: [&str; 12] = [
    "0",
    "1",
    "7",
    "12",
    "order-1",
    "order-42",
    "customer/99",
    "Zürich",
    "日本語",
    "🦀",
    "550e8400-e29b-41d4-a716-446655440000",
    "a key with spaces and a length beyond sixteen",
];
