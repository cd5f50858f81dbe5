//! Tables of other shapes, and topics by other rules.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use outboxd_core::murmur2::partition;
use outboxd_sandbox::PgVersion;
use outboxd_tests::scene::{Scene, unique};

use crate::values::debezium_table;

const REMAPPED: &str = r#"
[columns]
id = "event_no"
aggregatetype = "kind"
aggregateid = "entity"
type = "name"
payload = "body"
headers = "meta"
created_at = "at"
topic = "target"
partition_key = "shard"
schema_version = "version"
content_type = "media"
extra = [{ column = "tenant", as = "x-tenant" }, { column = "note" , as = "note" }]
"#;

#[tokio::test]
async fn every_column_may_have_another_name() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(8).await?;
    let other = scene.cluster.create_topic(&unique("elsewhere-"), 8, &[]).await?;
    scene
        .database
        .execute(
            "create table public.log (tenant text, event_no varchar(20) primary key, kind text,
             entity bigint, name varchar(40), body bytea, meta jsonb, at timestamptz, target text,
             shard text, version int, media text, note text)",
        )
        .await?;
    scene.database.publish("public.log").await?;
    let relay = scene.relay().arg("--table").arg("public.log").file(REMAPPED)?;
    let mut relay = relay.start().await?;
    scene
        .database
        .execute(&format!(
            "insert into public.log values
             ('acme', 'e-7', '{0}', 42, 'Placed', '\\x00ff', '{{\"h\": \"v\"}}',
              '2024-01-01 00:00:00+00', null, 's1', 3, 'application/avro', null),
             ('acme', 'e-8', '{0}', 42, 'Placed', '\\x01', null, '2024-01-01 00:00:00+00', '{1}',
              null, null, null, 'see there')",
            scene.kind(),
            other.name()
        ))
        .await?;
    let first = topic.read_at_least(1).await?.remove(0);
    ensure!(first.key_text() == "42" && first.value.as_deref() == Some(&[0, 0xff]), "{first:?}");
    ensure!(first.partition == partition(Some(b"s1"), b"e-7", 8), "{first:?}");
    ensure!(first.timestamp_ms == Some(1_704_067_200_000), "{first:?}");
    let header = |name| first.header(name);
    ensure!(header("id") == Some("e-7") && header("type") == Some("Placed"), "{first:?}");
    ensure!(header("x-tenant") == Some("acme") && header("h") == Some("v"), "{first:?}");
    ensure!(header("note").is_none(), "{first:?}");
    let described = (header("schema_version"), header("content_type"));
    ensure!(described == (Some("3"), Some("application/avro")), "{first:?}");

    let second = other.read_at_least(1).await?.remove(0);
    ensure!(second.header("id") == Some("e-8") && second.header("note") == Some("see there"));
    ensure!(second.partition == partition(Some(b"42"), b"e-8", 8), "{second:?}");
    ensure!(relay.terminate().await?.success());
    ensure!(topic.len().await? == 1 && other.len().await? == 1);
    Ok(())
}

#[tokio::test]
async fn a_map_of_topics_wins_over_the_template() -> Result<()> {
    let scene = Scene::new().await?;
    let mapped = scene.cluster.create_topic(&unique("mapped-"), 1, &[]).await?;
    let by_template = scene.cluster.create_topic(&format!("{}.b", scene.kind()), 1, &[]).await?;
    let topics = format!(
        "[topic]\ntemplate = \"{}.${{aggregatetype}}\"\nmap = {{ a = \"{}\" }}\n",
        scene.kind(),
        mapped.name()
    );
    let mut relay = scene.relay().file(&topics)?.start().await?;
    scene
        .database
        .execute(
            "insert into outbox.events (aggregatetype, aggregateid, type)
             values ('a', 'k', 'A'), ('b', 'k', 'B'), ('a', 'k', 'A')",
        )
        .await?;
    ensure!(mapped.read_at_least(2).await?.iter().all(|it| it.header("type") == Some("A")));
    ensure!(by_template.read_at_least(1).await?[0].header("type") == Some("B"));
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_debezium_table_needs_nothing_but_its_name() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(4).await?;
    scene.database.execute(&debezium_table("public.outboxevent", "jsonb")).await?;
    scene.database.publish("public.outboxevent").await?;
    let mut relay = scene.relay().arg("--table").arg("public.outboxevent").start().await?;
    let before = SystemTime::now();
    let sql = format!(
        "insert into public.outboxevent
         values (gen_random_uuid(), '{}', 'o-1', 'OrderCreated', '{{\"total\": 12}}')
         returning id::text",
        scene.kind()
    );
    let id: String = scene.database.query(&sql).await?[0].get(0);
    let record = topic.read_at_least(1).await?.remove(0);
    let after = SystemTime::now();
    ensure!(record.key_text() == "o-1" && record.value_text() == r#"{"total": 12}"#);
    ensure!(record.header("id") == Some(id.as_str()), "{record:?}");
    ensure!(record.header("type") == Some("OrderCreated"), "{record:?}");
    // Without a column for it, the time of the commit.
    let time = UNIX_EPOCH + Duration::from_millis(record.timestamp_ms.unwrap_or(0).unsigned_abs());
    ensure!(before - ROUNDING <= time && time <= after, "{record:?}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_older_outbox_messages_need_one_setting() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(4).await?;
    scene
        .database
        .execute(
            "create table public.outbox_messages (
                 id uuid primary key, payload bytea, topic text not null, status text,
                 headers jsonb, created_at timestamptz not null, updated_at timestamptz,
                 retry_count int, error_message text, version bigint, key text)",
        )
        .await?;
    scene.database.publish("public.outbox_messages").await?;
    let columns = |more: &str| format!("[columns]\npreset = \"outbox_messages\"\n{more}");
    let relay = scene.relay().arg("--table").arg("public.outbox_messages");
    let mut running = relay.clone().file(&columns(""))?.start().await?;
    let name = scene.topic_name();
    let insert = |id: u32, key: &str, version: u32| {
        format!(
            "insert into public.outbox_messages values
             ('00000000-0000-0000-0000-00000000000{id}', '\\x00ff', '{name}', 'NEW',
              '{{\"h\": \"v\"}}', '2024-01-01 00:00:00+00', null, 0, null, {version}, {key})"
        )
    };
    scene.database.execute(&insert(1, "'order-1'", 7)).await?;
    scene.database.execute(&insert(2, "null", 8)).await?;
    let mut records = topic.read_at_least(2).await?;
    records.sort_by_key(|record| record.header("id").map(str::to_owned));
    for record in &records {
        ensure!(record.value.as_deref() == Some(&[0, 0xff]), "{record:?}");
        ensure!(record.timestamp_ms == Some(1_704_067_200_000), "{record:?}");
        let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        ensure!(names == ["id", "sequence", "h"], "{names:?}");
    }
    ensure!(records[0].key_text() == "order-1" && records[1].key.is_none(), "{records:?}");
    ensure!(records[0].partition == partition(Some(b"order-1"), b"", 4), "{records:?}");
    ensure!(running.terminate().await?.success());

    // What is named wins over the preset.
    let named = columns("aggregateid = \"version\"\ntype = \"status\"\n");
    let mut running = relay.file(&named)?.start().await?;
    scene.database.execute(&insert(3, "'order-1'", 9)).await?;
    let records = topic.read_at_least(3).await?;
    let third = records.iter().find(|it| it.header("type") == Some("NEW"));
    ensure!(third.is_some_and(|it| it.key_text() == "9"), "{records:?}");
    ensure!(running.terminate().await?.success());
    Ok(())
}

/// Kafka's timestamps are whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);
