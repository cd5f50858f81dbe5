//! Postgres as a process: every version, every way of ending it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{Error, Flavour, PgOptions, PgVersion, Postgres, StopMode};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use crate::look::{eventually, is_gone, state};

#[tokio::test]
async fn postgres_14_starts_crashes_and_comes_back() -> Result<()> {
    starts_crashes_and_comes_back(PgVersion::V14).await
}

#[tokio::test]
async fn postgres_15_starts_crashes_and_comes_back() -> Result<()> {
    starts_crashes_and_comes_back(PgVersion::V15).await
}

#[tokio::test]
async fn postgres_16_starts_crashes_and_comes_back() -> Result<()> {
    starts_crashes_and_comes_back(PgVersion::V16).await
}

#[tokio::test]
async fn postgres_17_starts_crashes_and_comes_back() -> Result<()> {
    starts_crashes_and_comes_back(PgVersion::V17).await
}

#[tokio::test]
async fn postgres_18_starts_crashes_and_comes_back() -> Result<()> {
    starts_crashes_and_comes_back(PgVersion::V18).await
}

async fn starts_crashes_and_comes_back(version: PgVersion) -> Result<()> {
    let mut pg = start(PgOptions::of(version)).await?;
    pg.create_database("we\"ird").await?;
    let (url, port) = (pg.url("we%22ird"), pg.port());
    let (client, connection) = connect(&url).await?;
    let running = show(&client, "server_version").await?;
    ensure!(running.starts_with(&version.to_string()), "{version} asked, {running} runs");
    client.batch_execute("create table kept as select 42 as id").await?;
    let slot = "select pg_create_logical_replication_slot('slot', 'pgoutput')";
    client.batch_execute(slot).await?;
    pg.stop_within(StopMode::Immediate, Duration::from_secs(60)).await?;
    ensure!(connection.await?.is_err(), "the session outlived its server");

    pg.start_again().await?;
    assert_eq!((pg.url("we%22ird"), pg.port()), (url.clone(), port));
    let (client, _connection) = connect(&url).await?;
    assert_eq!(client.query_one("select id from kept", &[]).await?.get::<_, i32>(0), 42);
    client.query_one("select from pg_replication_slots where slot_name = 'slot'", &[]).await?;
    ensure!(pg.log().await?.contains("database system was not properly shut down"));
    Ok(())
}

#[tokio::test]
async fn the_socket_answers_and_the_base_settings_hold() -> Result<()> {
    let pg = start(PgOptions::default()).await?;
    let mut config = Config::new();
    config.host_path(pg.socket_dir().context("socket")?).port(pg.port()).user("postgres");
    let (client, connection) = config.connect(NoTls).await?;
    let _connection = tokio::spawn(connection);
    for (name, value) in [
        ("wal_level", "logical"),
        ("max_wal_senders", "20"),
        ("max_replication_slots", "20"),
        ("max_prepared_transactions", "20"),
        ("fsync", "on"),
    ] {
        assert_eq!(show(&client, name).await?, value, "{name}");
    }
    ensure!(pg.bin_dir().context("programs")?.join("postgres").is_file());
    Ok(())
}

#[tokio::test]
async fn options_reach_the_server() -> Result<()> {
    let pg = start(PgOptions {
        settings: vec![("cluster_name".to_owned(), r"it's \one".to_owned())],
        hba: Some(vec![
            "local all all trust".to_owned(),
            "host all all 127.0.0.1/32 scram-sha-256".to_owned(),
        ]),
        files: vec![("server.crt".to_owned(), b"a certificate".to_vec())],
        initdb_args: vec!["--wal-segsize=4".to_owned()],
        ..PgOptions::default()
    })
    .await?;
    let Err(refused) = connect(&pg.url("postgres")).await else {
        anyhow::bail!("let in without a password");
    };
    ensure!(format!("{refused:#}").contains("password"), "{refused:#}");

    let mut config = Config::new();
    config.host_path(pg.socket_dir().context("socket")?).port(pg.port()).user("postgres");
    let (client, connection) = config.connect(NoTls).await?;
    let _connection = tokio::spawn(connection);
    assert_eq!(show(&client, "cluster_name").await?, r"it's \one");
    assert_eq!(show(&client, "wal_segment_size").await?, "4MB");
    let file = client.query_one("select pg_read_file('server.crt')", &[]).await?;
    assert_eq!(file.get::<_, &str>(0), "a certificate");
    Ok(())
}

#[tokio::test]
async fn a_smart_stop_waits_for_clients_and_says_so_when_it_takes_too_long() -> Result<()> {
    let mut pg = start(PgOptions::default()).await?;
    let (client, connection) = connect(&pg.url("postgres")).await?;
    let waiting = pg.stop_within(StopMode::Smart, Duration::from_millis(1)).await;
    ensure!(matches!(waiting, Err(Error::StillRunning { .. })), "{waiting:?}");
    client.batch_execute("select 1").await?;
    drop(client);
    connection.await??;
    pg.stop(StopMode::Smart).await?;
    pg.start_again().await?;
    pg.stop(StopMode::Fast).await?;
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_answers_when_it_is_thawed() -> Result<()> {
    let mut pg = start(PgOptions::default()).await?;
    let (client, _connection) = connect(&pg.url("postgres")).await?;
    let backend = client.query_one("select pg_backend_pid()", &[]).await?.get::<_, i32>(0);
    let postmaster = postmaster(&pg)?;
    pg.freeze().await?;
    assert_eq!(state(&postmaster), Some('T'));
    assert_eq!(state(&backend.to_string()), Some('T'));
    let asked = tokio::spawn(async move { client.batch_execute("select 1").await });
    pg.thaw().await?;
    asked.await??;
    Ok(())
}

#[tokio::test]
async fn a_kill_takes_every_process_even_frozen_and_keeps_what_was_committed() -> Result<()> {
    let mut pg = start(PgOptions::default()).await?;
    let (client, connection) = connect(&pg.url("postgres")).await?;
    client.batch_execute("create table kept as select 42 as id").await?;
    let backend = client.query_one("select pg_backend_pid()", &[]).await?.get::<_, i32>(0);
    let postmaster = postmaster(&pg)?;
    pg.freeze().await?;
    pg.kill().await?;
    ensure!(is_gone(&postmaster) && is_gone(&backend.to_string()));
    ensure!(connection.await?.is_err(), "the session outlived its server");
    pg.start_again().await?;
    let (client, _connection) = connect(&pg.url("postgres")).await?;
    assert_eq!(client.query_one("select id from kept", &[]).await?.get::<_, i32>(0), 42);
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_in_a_state_is_refused() -> Result<()> {
    let mut pg = start(PgOptions::default()).await?;
    ensure!(matches!(pg.start_again().await, Err(Error::AlreadyRunning { .. })));
    pg.stop(StopMode::Fast).await?;
    ensure!(matches!(pg.stop(StopMode::Fast).await, Err(Error::NotRunning { .. })));
    ensure!(matches!(pg.freeze().await, Err(Error::NotRunning { .. })));
    ensure!(matches!(pg.thaw().await, Err(Error::NotRunning { .. })));
    ensure!(matches!(pg.kill().await, Err(Error::NotRunning { .. })));
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() -> Result<()> {
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let refused = start(PgOptions { settings, ..PgOptions::default() }).await;
    let Err(Error::EndedEarly { log, .. }) = refused else {
        anyhow::bail!("not refused: {refused:?}");
    };
    ensure!(log.contains("no_such_setting"), "{log}");
    Ok(())
}

#[tokio::test]
async fn servers_started_at_once_do_not_collide_and_leave_nothing() -> Result<()> {
    let both = tokio::try_join!(start(PgOptions::default()), start(PgOptions::default()))?;
    let (one, other) = &both;
    assert_ne!(one.port(), other.port());
    let folders = [one, other].map(|pg| pg.socket_dir().unwrap_or(Path::new("")).to_owned());
    let postmasters = [postmaster(one)?, postmaster(other)?];
    drop(both);
    for (folder, postmaster) in folders.iter().zip(&postmasters) {
        ensure!(!folder.exists(), "{} is left over", folder.display());
        eventually("the server is reaped", || is_gone(postmaster)).await?;
    }
    Ok(())
}

async fn start(options: PgOptions) -> outboxd_sandbox::Result<Postgres> {
    Postgres::start_in(Flavour::Processes, options).await
}

type Connection = JoinHandle<std::result::Result<(), tokio_postgres::Error>>;

async fn connect(url: &str) -> Result<(Client, Connection)> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}

async fn show(client: &Client, name: &str) -> Result<String> {
    Ok(client.query_one("select current_setting($1)", &[&name]).await?.get(0))
}

/// The id of the server's first process.
fn postmaster(pg: &Postgres) -> Result<String> {
    let file = pg.data_dir().context("data folder")?.join("postmaster.pid");
    let text = fs::read_to_string(file)?;
    Ok(text.lines().next().context("an id")?.trim().to_owned())
}
