//! Postgres of the sandbox.

use anyhow::Result;
use outboxd_sandbox::{PgOptions, Postgres, StopMode};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{DEADLINE, FROZEN_FOR};

#[tokio::test]
async fn committed_rows_survive_stop_and_kill() -> Result<()> {
    let mut server = Postgres::start(PgOptions::default()).await?;
    server.create_database("shop").await?;
    let client = connect(&server, "shop").await?;
    client.batch_execute("create table orders (id int); insert into orders values (1)").await?;

    server.stop(StopMode::Fast).await?;
    assert!(connect(&server, "shop").await.is_err(), "a stopped server answers");
    server.start_again().await?;
    let client = connect(&server, "shop").await?;
    assert_eq!(orders(&client).await?, 1);

    client.batch_execute("insert into orders values (2)").await?;
    server.kill().await?;
    assert!(connect(&server, "shop").await.is_err(), "a killed server answers");
    server.start_again().await?;
    assert_eq!(orders(&connect(&server, "shop").await?).await?, 2);
    assert!(server.log().await?.contains("was not properly shut down"));
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_keeps_its_connections_and_answers_after_the_thaw() -> Result<()> {
    let mut server = Postgres::start(PgOptions::default()).await?;
    let client = connect(&server, "postgres").await?;
    server.freeze().await?;
    let query = client.query_one("select 42", &[]);
    tokio::pin!(query);
    assert!(timeout(FROZEN_FOR, &mut query).await.is_err(), "a frozen server answers");
    server.thaw().await?;
    assert_eq!(timeout(DEADLINE, query).await??.get::<_, i32>(0), 42);

    server.freeze().await?;
    server.kill().await?;
    server.start_again().await?;
    connect(&server, "postgres").await?;
    Ok(())
}

#[tokio::test]
async fn each_way_to_stop_is_the_one_asked_for() -> Result<()> {
    let mut server = Postgres::start(PgOptions::default()).await?;
    let client = connect(&server, "postgres").await?;
    let waits = server.stop_within(StopMode::Smart, FROZEN_FOR).await;
    assert!(matches!(waits, Err(outboxd_sandbox::Error::StillRunning { .. })), "{waits:?}");
    drop(client);
    server.stop(StopMode::Fast).await?;
    server.start_again().await?;
    server.stop(StopMode::Immediate).await?;
    let log = server.log().await?;
    for request in ["smart", "fast", "immediate"] {
        assert!(log.contains(&format!("received {request} shutdown request")), "{request}:\n{log}");
    }
    let again = server.stop(StopMode::Fast).await;
    assert!(matches!(again, Err(outboxd_sandbox::Error::NotRunning { .. })), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn options_reach_the_server() -> Result<()> {
    let server = Postgres::start(PgOptions {
        settings: vec![setting("include", "more.conf"), setting("cluster_name", "it's mine")],
        files: vec![("more.conf".to_owned(), b"work_mem = '7MB'\n".to_vec())],
        hba: Some(vec![
            "host all postgres all trust".to_owned(),
            "host all all all reject".to_owned(),
        ]),
        initdb_args: vec!["--data-checksums".to_owned(), "--locale=C".to_owned()],
        ..PgOptions::default()
    })
    .await?;
    let client = connect(&server, "postgres").await?;
    for (name, expected) in [
        ("work_mem", "7MB"),
        ("cluster_name", "it's mine"),
        ("data_checksums", "on"),
        ("lc_collate", "C"),
        ("wal_level", "logical"),
    ] {
        // lc_collate is a property of the database since Postgres 16.
        let sql = if name == "lc_collate" {
            "select datcollate::text from pg_database where datname = current_database()".to_owned()
        } else {
            format!("select current_setting('{name}')")
        };
        assert_eq!(client.query_one(&sql, &[]).await?.get::<_, String>(0), expected, "{name}");
    }
    client.batch_execute("create role stranger login").await?;
    let url = server.url("postgres").replace("postgres@", "stranger@");
    let refused =
        tokio_postgres::connect(&url, NoTls).await.err().and_then(|error| error.code().cloned());
    assert_eq!(refused, Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION));
    Ok(())
}

fn setting(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

async fn connect(server: &Postgres, database: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&server.url(database), NoTls).await?;
    // It ends with its client or its server, and what it ends with shows in the client's calls.
    tokio::spawn(connection);
    Ok(client)
}

async fn orders(client: &Client) -> Result<i64> {
    Ok(client.query_one("select count(*) from orders", &[]).await?.get(0))
}
