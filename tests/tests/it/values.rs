//! Keys, values, headers and timestamps reach Kafka byte for byte.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use outboxd_core::murmur2::partition;
use outboxd_sandbox::PgVersion;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;

/// Payload types and literals; what is published must be what the server prints, or the bytes.
const PAYLOADS: [(&str, &[&str]); 5] = [
    ("jsonb", &[r#"'{"b": 1,   "a": [1.0, 1e3, "\u00e9\n"], "c": null}'"#, "'null'", "null"]),
    ("json", &[r#"'{"b": 1,   "a" :[1.0, 1e3]} '"#, r#"'"text"'"#, "null"]),
    ("text", &["''", "E'tab\\tline\\nquote\\'back\\\\slash Zürich 日本 🦀'", "null"]),
    ("varchar(20)", &["'short'", "'  spaces  '", "null"]),
    ("bytea", &["''", ALL_BYTES, "null"]),
];
const ALL_BYTES: &str = "(select decode(string_agg(lpad(to_hex(i), 2, '0'), '' order by i), 'hex') \
     from generate_series(0, 255) i)";

#[tokio::test]
async fn payloads_of_every_type_are_byte_exact() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay();
    let mut tables = Vec::new();
    for (index, (payload, _)) in PAYLOADS.iter().enumerate() {
        let table = format!("public.outbox_{index}");
        scene.database.execute(&debezium_table(&table, payload)).await?;
        relay = relay.arg("--table").arg(&table);
        tables.push(table);
    }
    scene.database.publish(&tables.join(", ")).await?;
    let mut relay = relay.start().await?;

    let mut expected = Vec::new();
    for ((payload, literals), table) in PAYLOADS.iter().zip(&tables) {
        for literal in *literals {
            let sql = format!(
                "insert into {table} values (gen_random_uuid(), '{}', '{payload}', 'T', {literal}) \
                 returning payload::text, case when pg_typeof(payload) = 'bytea'::regtype \
                 then payload::text::bytea end",
                scene.kind()
            );
            let row = scene.database.query(&sql).await?.pop().context("returned")?;
            let text: Option<String> = row.get(0);
            let bytes: Option<Vec<u8>> = row.get(1);
            expected.push(bytes.or(text.map(String::into_bytes)));
        }
    }
    let records = topic.read_at_least(expected.len()).await?;
    let found: Vec<_> = records.into_iter().map(|record| record.value).collect();
    ensure!(found == expected, "{found:#?} instead of {expected:#?}");
    let all: Vec<u8> = (0..=255).collect();
    ensure!(found.contains(&Some(all)) && found.contains(&Some(Vec::new())));
    ensure!(found.iter().filter(|value| value.is_none()).count() == PAYLOADS.len());
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn headers_of_the_row_follow_those_of_the_relay() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().start().await?;
    let headers = r#"{"traceparent": "00-ab-cd-01", "count": 12.50, "flag": true, "gone": null,
        "nested": {"a": [1, "two"]}, "quote": "a\"b ü", "id": "forged", "type": "forged",
        "sequence": "forged", "outboxd-replay": "forged"}"#;
    scene
        .database
        .execute(&format!(
            "insert into outbox.events (id, aggregatetype, aggregateid, type, payload, headers)
             values ('{ID}', '{}', 'k', 'Placed', '1', '{headers}')",
            scene.kind()
        ))
        .await?;
    let record = topic.read_at_least(1).await?.remove(0);
    let own: Vec<&str> = record.headers.iter().take(3).map(|(name, _)| name.as_str()).collect();
    ensure!(own == ["id", "type", "sequence"], "{record:?}");
    ensure!(record.header("id") == Some(ID) && record.header("type") == Some("Placed"));
    let row: BTreeSet<(&str, &[u8])> =
        record.headers[3..].iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let expected: BTreeSet<(&str, &[u8])> = BTreeSet::from([
        ("traceparent", b"00-ab-cd-01".as_slice()),
        ("count", b"12.50"),
        ("flag", b"true"),
        ("nested", br#"{"a": [1, "two"]}"#),
        ("quote", "a\"b ü".as_bytes()),
    ]);
    ensure!(row == expected, "{record:?}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn the_timestamp_is_that_of_the_row() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().start().await?;
    scene
        .database
        .execute(&format!(
            "set timezone = 'Asia/Kathmandu';
             insert into outbox.events (aggregatetype, aggregateid, type, created_at)
             values ('{0}', 'k', 'T', '2024-02-29 12:34:56.789123+00'),
                    ('{0}', 'k', 'T', '1999-12-31 23:59:59.999+05:45')",
            scene.kind()
        ))
        .await?;
    let records = topic.read_at_least(2).await?;
    let times: Vec<_> = records.iter().map(|record| record.timestamp_ms).collect();
    ensure!(times == [Some(1_709_210_096_789), Some(946_664_099_999)], "{times:?}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_row_without_a_key_is_placed_by_its_id() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(8).await?;
    let mut relay = scene.relay().start().await?;
    scene
        .database
        .execute(&format!(
            "insert into outbox.events (aggregatetype, aggregateid, type, payload)
             select '{}', null, 'T', to_jsonb(i) from generate_series(1, 50) i",
            scene.kind()
        ))
        .await?;
    let records = topic.read_at_least(50).await?;
    let placed = |record: &Record| {
        let id = record.header("id").unwrap_or_default();
        record.key.is_none() && record.partition == partition(None, id.as_bytes(), 8)
    };
    ensure!(records.len() == 50 && records.iter().all(placed), "{records:?}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// A table as Debezium's documentation has it.
pub(crate) fn debezium_table(name: &str, payload: &str) -> String {
    format!(
        "create table {name} (id uuid not null primary key, aggregatetype varchar(255) not null,
         aggregateid varchar(255) not null, type varchar(255) not null, payload {payload})"
    )
}

const ID: &str = "0190a5c2-0000-7000-8000-00000000000a";
