//! Changes of other tables and of other publications, beside transactions that are long open.
//!
//! Postgres tells a decoder of such a change by the transactions that it happened beside; those that
//! were open already were forgotten before the minor releases of 2025, and their rows lost.

use anyhow::Result;
use outboxd_tests::rounds::Rounds;
use outboxd_tests::scene::Scene;
use tokio_postgres::Client;

use crate::mode::Mode;
use crate::stage::grown;

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_other_tables_beside_long_transactions_lose_nothing() -> Result<()> {
    let mut rounds = Rounds::of(20);
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    scene.database.execute(NEIGHBOURS).await?;
    let relay = scene.relay().start().await?;
    let writers = scene.load().await?;
    let long = scene.database.connect().await?;
    for round in rounds.by_ref() {
        long.batch_execute("begin").await?;
        insert(&long, scene.kind(), round * 3).await?;
        for change in CHANGES {
            scene.database.execute(change).await?;
        }
        insert(&long, scene.kind(), round * 3 + 1).await?;
        for change in CHANGES_BACK {
            scene.database.execute(change).await?;
        }
        insert(&long, scene.kind(), round * 3 + 2).await?;
        long.batch_execute("commit").await?;
        grown(&topic, 20).await?;
    }
    writers.stop().await?;
    let verdict = Mode::AtLeastOnce.conclude(&scene.database, &topic, scene.kind(), relay).await?;
    verdict.expect_perfect()?;
    rounds.passed("other tables changed beside a long transaction");
    Ok(())
}

async fn insert(client: &Client, kind: &str, seq: u64) -> Result<()> {
    let insert = "insert into outbox.events (aggregatetype, aggregateid, type, payload)";
    let values = format!("values ('{kind}', 'long', 'T', '{{\"seq\": {seq}}}')");
    let other = "insert into neighbour values (1)";
    Ok(client.batch_execute(&format!("{insert} {values}; {other}")).await?)
}

const NEIGHBOURS: &str = "create table neighbour (id int);
                          create table stranger (id int);
                          create type mood as enum ('calm');
                          create publication theirs for table outbox.events, neighbour";
const CHANGES: [&str; 4] = [
    "alter publication theirs add table stranger",
    "alter publication theirs drop table outbox.events",
    "alter table stranger add column more text",
    "alter type mood add value if not exists 'wild'",
];
const CHANGES_BACK: [&str; 3] = [
    "alter publication theirs drop table stranger",
    "alter publication theirs add table outbox.events",
    "alter table stranger drop column more",
];
