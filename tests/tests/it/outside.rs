//! Kafka's own console consumer, which shares no code with us, sees the same records.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use outboxd_core::murmur2::partition;
use outboxd_tests::scene::Scene;
use outboxd_tests::servers;

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

async fn consume(scene: &Scene, count: usize) -> Result<String> {
    let tools = servers::kafka().await?.tools().await?;
    let quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"];
    let mut command =
        tools.command(&quick.map(str::to_owned), "org.apache.kafka.tools.consumer.ConsoleConsumer");
    command.args(["--bootstrap-server", scene.cluster.bootstrap(), "--from-beginning"]);
    command.args(["--topic", &scene.topic_name(), "--max-messages", &count.to_string()]);
    command.args(["--timeout-ms", "60000"]);
    for shown in ["print.partition", "print.headers", "print.key"] {
        command.args(["--property", &format!("{shown}=true")]);
    }
    let output = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).context("UTF-8")
}
