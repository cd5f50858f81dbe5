//! The table changes under the relay, or is cleaned, or is made of partitions.

use anyhow::{Result, ensure};
use outboxd_sandbox::PgVersion;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::{Record, Topic};

#[tokio::test]
async fn columns_come_and_go_between_and_inside_transactions() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().start().await?;
    let insert = |value: u32| insert(&scene, value);
    for sql in [
        insert(1),
        "alter table outbox.events add column note text default 'n'".to_owned(),
        insert(2),
        "alter table outbox.events rename column note to remark".to_owned(),
        insert(3),
        format!(
            "begin; {}; alter table outbox.events drop column remark; {};
             alter table outbox.events add column first int default 7; {}; commit",
            insert(4),
            insert(5),
            insert(6)
        ),
        insert(7),
        format!(
            "begin; {}; savepoint s; alter table outbox.events add column never int; {};
             rollback to savepoint s; {}; commit",
            insert(8),
            insert(99),
            insert(9)
        ),
    ] {
        scene.database.execute(&sql).await?;
    }
    ensure!(values(&topic, 9).await? == [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    ensure!(relay.terminate().await?.success());
    ensure!(topic.len().await? == 9);
    Ok(())
}

#[tokio::test]
async fn columns_change_their_types_between_and_inside_transactions() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().start().await?;
    let alter = "alter table outbox.events alter column";
    for sql in [
        insert(&scene, 1),
        format!("{alter} payload type text using payload::text"),
        insert(&scene, 2),
        format!(
            "begin; {}; {alter} aggregateid type varchar(40); {};
             {alter} payload type json using payload::json; {}; commit",
            insert(&scene, 3),
            insert(&scene, 4),
            insert(&scene, 5)
        ),
        insert(&scene, 6),
    ] {
        scene.database.execute(&sql).await?;
    }
    ensure!(values(&topic, 6).await? == [1, 2, 3, 4, 5, 6]);
    // A type that is no payload.
    let point = format!("{alter} payload type point using point(1, 1)");
    scene.database.execute(&point).await?;
    let kind = scene.kind();
    let columns = "aggregatetype, aggregateid, type, payload";
    let values = format!("values ('{kind}', 'k', 'T', point(1, 1))");
    scene.database.execute(&format!("insert into outbox.events ({columns}) {values}")).await?;
    relay.wait_stop(13, "table_contract").await?;
    ensure!(topic.len().await? == 6);
    Ok(())
}

#[tokio::test]
async fn a_mapped_column_that_is_gone_stops_the_relay() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().start().await?;
    scene.database.execute(&insert(&scene, 1)).await?;
    values(&topic, 1).await?;
    scene
        .database
        .execute(&format!(
            "alter table outbox.events drop column type;
             insert into outbox.events (aggregatetype, aggregateid, payload)
             values ('{}', 'k', '2')",
            scene.kind()
        ))
        .await?;
    let lines = relay.wait_stop(13, "table_contract").await?;
    ensure!(lines.iter().any(|line| line.text.contains("type")), "the column is not named");
    // It is no better at the next start.
    scene.relay().spawn()?.wait_stop(13, "table_contract").await?;
    ensure!(topic.len().await? == 1);
    Ok(())
}

#[tokio::test]
async fn rows_of_all_partitions_are_rows_of_their_root() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(1).await?;
    scene
        .database
        .execute(
            "create schema outbox;
             create table outbox.events (id uuid default gen_random_uuid(), aggregatetype text,
                aggregateid text, type text, payload jsonb, leaf int) partition by list (leaf);
             create table outbox.events_1 partition of outbox.events for values in (1);
             -- Its columns stand in another order than the root's.
             create table outbox.events_2 (leaf int, payload jsonb, type text, aggregateid text,
                aggregatetype text, id uuid default gen_random_uuid());
             alter table outbox.events attach partition outbox.events_2 for values in (2)",
        )
        .await?;
    scene.database.publish("outbox.events").await?;
    let mut relay = scene.relay().start().await?;
    let insert = |table: &str, value: u32, leaf: u32| {
        let kind = scene.kind();
        let columns = "aggregatetype, aggregateid, type, payload, leaf";
        format!("insert into {table} ({columns}) values ('{kind}', 'k', 'T', '{value}', {leaf});")
    };
    let root = |value, leaf| insert("outbox.events", value, leaf);
    let direct = insert("outbox.events_2", 3, 2);
    scene.database.execute(&[root(1, 1), root(2, 2), direct].concat()).await?;
    // A leaf that leaves takes its rows out of the table, not out of the stream.
    scene
        .database
        .execute("alter table outbox.events detach partition outbox.events_2; drop table outbox.events_2")
        .await?;
    scene.database.execute(&root(4, 1)).await?;
    ensure!(values(&topic, 4).await? == [1, 2, 3, 4]);
    ensure!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn cleaners_publish_nothing() -> Result<()> {
    let scene = Scene::bare(PgVersion::V17).await?;
    let topic = scene.topic(1).await?;
    scene.database.execute(OUTBOX_AND_NEIGHBOUR).await?;
    // A publication of everything, so that updates, deletes and truncates do reach the relay.
    scene.database.execute("create publication outboxd for table outbox.events, other").await?;
    let mut relay = scene.relay().start().await?;
    for sql in [
        insert(&scene, 1),
        "update outbox.events set payload = '50'".to_owned(),
        format!("begin; {}; delete from outbox.events; commit", insert(&scene, 2)),
        "insert into other values (1); update other set v = 2; delete from other".to_owned(),
        insert(&scene, 3),
        "truncate outbox.events, other".to_owned(),
        insert(&scene, 4),
    ] {
        scene.database.execute(&sql).await?;
    }
    ensure!(values(&topic, 4).await? == [1, 2, 3, 4]);
    ensure!(relay.terminate().await?.success());
    ensure!(topic.len().await? == 4);
    Ok(())
}

fn insert(scene: &Scene, value: u32) -> String {
    format!(
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         values ('{}', 'k', 'T', '{value}')",
        scene.kind()
    )
}

async fn values(topic: &Topic, count: usize) -> Result<Vec<u32>> {
    let records = topic.read_at_least(count).await?;
    let value = |record: &Record| Ok(record.value_text().parse()?);
    records.iter().map(value).collect()
}

const OUTBOX_AND_NEIGHBOUR: &str = "
    create schema outbox;
    create table outbox.events (id uuid primary key default gen_random_uuid(), aggregatetype text,
        aggregateid text, type text, payload jsonb);
    create table other (v int primary key);
";
