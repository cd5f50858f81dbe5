//! `outboxd dlq` for somebody who may decide about events and not read them.

use anyhow::{Context, Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::relay::RelayCommand;
use outboxd_tests::scene::{Scene, unique};
use serde_json::Value;

use crate::parking::{large, small, wait_letters};

/// What an operator needs, as docs/operations.md has it: no value, no headers.
const RIGHTS: &str = "
    grant usage on schema outbox to {role};
    grant select (id, relay, position, event_id, topic, key, complete, kind, error_code,
                  error_message, fingerprint, parked_behind, state, attempts, created_at,
                  first_failed_at, last_failed_at, resolved_at, resolved_by, note)
       on outbox.dead_letters to {role};
    grant update (state, resolved_by, note) on outbox.dead_letters to {role}";

#[tokio::test]
async fn an_operator_decides_about_events_without_reading_them() -> Result<()> {
    let scene = Scene::new().await?;
    let limit = [("max.message.bytes", "100000")];
    let topic = scene.cluster.create_topic(&scene.topic_name(), 4, &limit).await?;
    let operator = Operator::create(&scene).await?;
    let mut relay = scene.relay().start().await?;
    large(&scene, "order-7").await?;
    large(&scene, "order-8").await?;
    small(&scene, 1, 10).await?;
    wait_letters(&scene, &[("dead", 2), ("parked", 2)]).await?;

    let listed = operator.list().await?;
    ensure!(listed.len() == 4, "{listed:?}");
    for letter in &listed {
        ensure!(letter["value_bytes"].is_null() && letter["headers"].is_null(), "{letter}");
        ensure!(letter["event_id"].is_string() && letter["topic"] == topic.name(), "{letter}");
    }
    let head = |key: &str| {
        let of_key = |it: &&Value| it["key"] == key && it["state"] == "dead";
        listed.iter().find(of_key).and_then(|it| it["id"].as_i64()).context("a head")
    };
    let (first, second) = (head("order-7")?.to_string(), head("order-8")?.to_string());
    let shown = operator.say(&["show", &first]).await?;
    ensure!(shown.contains("record_too_large") && !shown.contains("pad"), "{shown}");
    let export = operator.command(&["export"]).output().await?;
    let said = String::from_utf8_lossy(&export.stderr);
    ensure!(export.status.code() == Some(14) && said.contains("error[permission]"), "{said}");

    scene.cluster.alter_topic(topic.name(), &[("max.message.bytes", "1000000")]).await?;
    operator.say(&["retry", &first, "--note", "limit raised"]).await?;
    let dry = operator.say(&["discard", "--dry-run", &second]).await?;
    ensure!(dry == "1 event would be given up\n", "{dry}");
    let unsure = operator.command(&["discard", &second]).output().await?;
    let said = String::from_utf8_lossy(&unsure.stderr);
    ensure!(!unsure.status.success() && said.contains("--yes"), "{said}");
    operator.say(&["discard", "--yes", &second]).await?;
    wait_letters(&scene, &[("discarded", 1), ("published", 3)]).await?;
    let by = "select distinct resolved_by from outbox.dead_letters where resolved_by is not null";
    let by: Vec<String> = scene.database.query(by).await?.iter().map(|row| row.get(0)).collect();
    ensure!(by == [operator.role.as_str()], "{by:?}");
    let records = topic.read_at_least(11).await?;
    ensure!(records.len() == 11, "{} records", records.len());

    ensure!(relay.terminate().await?.success());
    operator.drop(&scene).await
}

#[tokio::test]
async fn who_may_read_events_sees_their_size() -> Result<()> {
    let scene = Scene::new().await?;
    let limit = [("max.message.bytes", "100000")];
    scene.cluster.create_topic(&scene.topic_name(), 1, &limit).await?;
    let mut relay = scene.relay().start().await?;
    large(&scene, "order-7").await?;
    wait_letters(&scene, &[("dead", 1)]).await?;
    let owner = Operator {
        role: "postgres".to_owned(),
        url: scene.database.url().to_owned(),
        kafka: scene.cluster.bootstrap().to_owned(),
    };
    let listed = eventually("a letter", || async { Ok(owner.list().await?.pop()) }).await?;
    ensure!(listed["value_bytes"].as_i64() > Some(100_000), "{listed}");
    ensure!(listed["headers"].is_array(), "{listed}");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

struct Operator {
    role: String,
    url: String,
    kafka: String,
}

impl Operator {
    async fn create(scene: &Scene) -> Result<Self> {
        let role = unique("operator_");
        scene.database.execute(&format!("create role {role} login")).await?;
        scene.database.execute(&RIGHTS.replace("{role}", &role)).await?;
        let url =
            format!("postgres://{role}@{}/{}", scene.database.address()?, scene.database.name());
        Ok(Self { role, url, kafka: scene.cluster.bootstrap().to_owned() })
    }

    fn command(&self, words: &[&str]) -> RelayCommand {
        let name = self.url.rsplit('/').next().unwrap_or_default();
        let words: Vec<&str> = ["dlq"].iter().chain(words).copied().collect();
        RelayCommand::bare(&words)
            .arg("--database-url")
            .arg(&self.url)
            .arg("--kafka")
            .arg(&self.kafka)
            .set("source.name", &format!("outboxd_{name}"))
    }

    async fn say(&self, words: &[&str]) -> Result<String> {
        let said = self.command(words).output().await?;
        ensure!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
        Ok(String::from_utf8(said.stdout)?)
    }

    async fn list(&self) -> Result<Vec<Value>> {
        let lines = self.say(&["list", "--json"]).await?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Roles belong to the server, which other tests share.
    async fn drop(self, scene: &Scene) -> Result<()> {
        let role = &self.role;
        scene.database.execute(&format!("drop owned by {role}; drop role {role}")).await
    }
}
