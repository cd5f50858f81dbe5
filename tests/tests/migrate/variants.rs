//! The same inserts give the same records in Kafka, whichever variant takes them.

use anyhow::{Result, ensure};
use futures_util::SinkExt;
use outboxd_relay::migrate::Variant;
use outboxd_sandbox::PgVersion;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;

use crate::{VERSIONS, up, wish};

const RECORDS: usize = 9;

#[tokio::test]
async fn every_variant_gives_the_same_records() -> Result<()> {
    for version in VERSIONS {
        let expected = records(version, Variant::Plain).await?;
        ensure!(expected.iter().any(|record| record.value.is_none()), "no tombstone");
        ensure!(expected.iter().any(|record| record.key.is_none()), "no record without a key");
        for variant in VARIANTS {
            let found = records(version, variant).await?;
            ensure!(found == expected, "{version} {variant}: {found:#?}, not {expected:#?}");
        }
    }
    Ok(())
}

/// What is published of the inserts, without what tells where it came from.
async fn records(version: PgVersion, variant: Variant) -> Result<Vec<Record>> {
    let scene = Scene::bare(version).await?;
    up(&scene.database, &wish(variant)).await?;
    let topic = scene.topic(1).await?;
    publish(&scene, variant).await?;
    let mut relay = relay(&scene, variant)?.start().await?;
    write(&scene).await?;
    let mut records = topic.read_at_least(RECORDS).await?;
    ensure!(relay.terminate().await?.success());
    ensure!(topic.len().await? == i64::try_from(RECORDS)?, "{variant}: more than was written");
    for record in &mut records {
        record.headers.retain(|(name, _)| name != "sequence");
    }
    Ok(records)
}

async fn publish(scene: &Scene, _variant: Variant) -> Result<()> {
    scene.database.publish("outbox.events").await
}

fn relay(scene: &Scene, _variant: Variant) -> Result<RelayCommand> {
    Ok(scene.relay())
}

/// Single rows, several at once, COPY, the function, and what is rolled back.
async fn write(scene: &Scene) -> Result<()> {
    let kind = scene.kind();
    let id = |n: u32| format!("'0190a5c2-0000-7000-8000-00000000000{n}'");
    let into = "insert into outbox.events (id, aggregatetype, aggregateid, type, payload, headers, created_at)";
    let at = "'2024-02-29 12:34:56.789123+00'";
    let rows = [
        format!(
            "{into} values ({}, '{kind}', 'k', 'T', '{{\"b\": 1,   \"a\": [1.0, 1e3, \"\\u00e9\\n\"]}}', '{{\"h\": \"x\", \"n\": [1.50]}}', {at})",
            id(1)
        ),
        format!("{into} values ({}, '{kind}', null, 'T', 'null', '{{}}', {at})", id(2)),
        format!(
            "{into} values ({}, '{kind}', 'k', 'T', null, '{{}}', {at}), ({}, '{kind}', 'Zürich \"1\"', 'T', '\"\\\\\"', '{{}}', '1999-12-31 23:59:59.999+05:45')",
            id(3),
            id(4)
        ),
        format!(
            "begin; {into} values ({}, '{kind}', 'gone', 'T', '1', '{{}}', {at}); rollback",
            id(0)
        ),
        format!(
            "select outbox.emit('{kind}', 'k', 'Emitted', '{{\"e\": 1}}', '{{\"h\": \"y\"}}', {}, {at})",
            id(5)
        ),
        format!(
            "{into} values ({}, '{kind}', 'big', 'T', to_jsonb(repeat('ab\"', 100000)), '{{}}', {at})",
            id(6)
        ),
    ];
    scene.database.execute("set timezone = 'Asia/Kathmandu'; set datestyle = 'German'").await?;
    for sql in rows {
        scene.database.execute(&sql).await?;
    }
    let columns = "id, aggregatetype, aggregateid, type, payload, created_at";
    let copy = format!("copy outbox.events ({columns}) from stdin");
    let lines: String = (7..=9)
        .map(|n| {
            format!(
                "{}\t{kind}\tk\tT\t{{\"n\": {n}}}\t2024-02-29 12:34:56+00\n",
                id(n).trim_matches('\'')
            )
        })
        .collect();
    let mut sink = Box::pin(scene.database.client().copy_in::<_, bytes::Bytes>(&copy).await?);
    sink.send(lines.into()).await?;
    sink.close().await?;
    Ok(())
}

const VARIANTS: [Variant; 2] = [Variant::Rotating, Variant::Transient];
