//! A login that is changed under a running relay.

use std::fs;

use anyhow::{Result, ensure};
use outboxd_sandbox::{KafkaOptions, PgOptions, PgVersion};
use outboxd_tests::relay::RelayCommand;
use tempfile::TempDir;

use crate::mode::Mode;
use crate::stage::{Stage, grown};

/// The server has it first, the file with the URL later, and in between nobody is let in.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_changed_under_a_running_relay() -> Result<()> {
    let hba = ["host all relay all scram-sha-256", "host replication relay all scram-sha-256"];
    let trusted =
        ["local all all trust", "host all all all trust", "host replication all all trust"];
    let hba = hba.into_iter().chain(trusted).map(str::to_owned).collect();
    let options = PgOptions { hba: Some(hba), ..PgOptions::of(PgVersion::V17) };
    let stage = Stage::on(options, KafkaOptions::default()).await?;
    stage
        .database
        .execute("create role relay superuser replication login password 'first-secret'")
        .await?;

    let folder = TempDir::new()?;
    let file = folder.path().join("url");
    let url =
        |password: &str| stage.database.url().replace("postgres@", &format!("relay:{password}@"));
    ensure!(url("first-secret") != stage.database.url(), "{}", stage.database.url());
    fs::write(&file, url("first-secret"))?;
    let bootstrap = stage.cluster().bootstrap().to_owned();
    let command = RelayCommand::bare(&["run", "--create-slot", "--kafka", &bootstrap]);
    let command = command.set("http.listen", "off").set("source.url_file", &file.to_string_lossy());
    let relay = command.start().await?;
    let writers = stage.load().await?;
    grown(&stage.topic, 200).await?;

    stage.database.execute("alter role relay password 'second-secret'").await?;
    let mark = relay.mark();
    stage.database.terminate_walsenders().await?;
    relay.wait_event_after(mark, "session.lost").await?;
    // Refused more than once, and still trying.
    for _ in 0..2 {
        let refused = relay.wait_event_after(relay.mark(), "session.lost").await?;
        ensure!(refused.text.contains("password authentication failed"), "{}", refused.text);
        ensure!(!refused.text.contains("secret"), "a password was logged: {}", refused.text);
    }
    fs::write(&file, url("second-secret"))?;
    relay.wait_event_after(mark, "slot.streaming").await?;
    grown(&stage.topic, 200).await?;
    writers.stop().await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()
}
