//! The data folder was replaced by an older copy: same system, same timeline, another history.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres, StopMode};
use outboxd_tests::database::Database;
use outboxd_tests::relay::relay_on;
use outboxd_tests::scene::Scene;
use tokio::process::Command;

use super::{insert, publish_one};

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_data_folder() -> Result<()> {
    let mut postgres = Postgres::start(PgOptions::of(PgVersion::V17)).await?;
    let scene = Scene::bare(PgVersion::V17).await?;
    let (topic, kind) = (scene.topic(1).await?, scene.kind());
    let database = Database::create(&postgres, kind).await?;
    database.create_outbox().await?;
    let relay = relay_on(&database, scene.cluster.bootstrap());
    publish_one(&database, kind, &topic, &relay).await?;

    let data = postgres.data_dir().context("a server of this machine")?.to_owned();
    let copy = data.with_extension("copy");
    postgres.stop(StopMode::Fast).await?;
    shell("cp -a", &data, &copy).await?;
    postgres.start_again().await?;
    let database = Database::open(&postgres, kind).await?;
    for _ in 0..20 {
        insert(&database, kind).await?;
    }
    publish_one(&database, kind, &topic, &relay).await?;

    postgres.stop(StopMode::Fast).await?;
    shell("rm -rf", &data, &data).await?;
    shell("mv", &copy, &data).await?;
    postgres.start_again().await?;
    relay.spawn()?.wait_stop(10, "position_ahead").await?;

    // The new history outgrows the recorded position: still not ours.
    let database = Database::open(&postgres, kind).await?;
    for _ in 0..100 {
        insert(&database, kind).await?;
    }
    let published = topic.len().await?;
    relay.spawn()?.wait_stop(10, "diverged").await?;
    ensure!(topic.len().await? == published, "events of the other history were published");
    Ok(())
}

async fn shell(command: &str, from: &Path, to: &Path) -> Result<()> {
    let mut words = command.split(' ');
    let program = words.next().context("a program")?;
    let status = Command::new(program).args(words).arg(from).arg(to).status().await?;
    ensure!(status.success(), "{command} ended with {status}");
    Ok(())
}
