//! A database in another encoding than Kafka's readers expect.

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::PgVersion;
use outboxd_tests::checker::check;
use outboxd_tests::database::Database;
use outboxd_tests::relay::relay_on;
use outboxd_tests::scene::{Scene, unique};
use outboxd_tests::{servers, truth};

/// The server converts, as the session asks it to: what is published is UTF-8.
#[tokio::test]
async fn text_of_a_database_in_latin1_is_published_in_utf8() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(4).await?;
    let name = unique("l");
    let create = format!("create database {name} template template0 encoding 'LATIN1' locale 'C'");
    scene.database.execute(&create).await?;
    let database = Database::open(servers::postgres(PgVersion::V17).await?, &name).await?;
    database.create_outbox().await?;
    let mut relay = relay_on(&database, scene.cluster.bootstrap()).start().await?;
    let sql = format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload, headers)
         values ('{}', 'Zürich', 'Géändert', '{{\"seq\": 1, \"name\": \"Åse Ørsted\"}}',
                 '{{\"ort\": \"Köln\"}}')
         returning octet_length(convert_to(aggregateid, 'LATIN1'))",
        scene.kind()
    );
    let stored = database.query(&sql).await?;
    ensure!(stored[0].get::<_, i32>(0) == 6, "one byte for each letter");
    let records = topic.read_at_least(1).await?;
    let record = records.first().context("a record")?;
    ensure!(record.key_text() == "Zürich" && record.header("ort") == Some("Köln"), "{record:?}");
    ensure!(relay.terminate().await?.success());
    let rows = truth::read(&database, scene.kind()).await?;
    check(&rows, &records, topic.partitions()).expect_perfect()
}
