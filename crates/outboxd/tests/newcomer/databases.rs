//! Postgres lets us in, and the database is not what it has to be. One server, a database each.

use outboxd_sandbox::Postgres;

use crate::assert_said;
use crate::program::Outboxd;
use crate::servers::{NOBODY, kafka, postgres, sql};

/// `run` in a database of its own, after these statements.
async fn run(postgres: &Postgres, database: &str, statements: &str) -> String {
    postgres.create_database(database).await.expect("a new database");
    sql(postgres, database, statements).await;
    let kafka = kafka(database);
    let brokers = kafka.bootstrap_servers();
    Outboxd::new("run", &postgres.url(database), &brokers).stops().await
}

/// `setup` in the database that is there after [`run`].
async fn set_up(postgres: &Postgres, database: &str, flags: &str) -> String {
    Outboxd::new(&format!("setup {flags}"), &postgres.url(database), NOBODY).stops().await
}

#[tokio::test]
async fn something_is_missing() {
    let postgres = postgres(&[]).await;
    let created = format!("create schema outbox; {}", table("events", FIVE_COLUMNS));
    let published = format!("{created}; create publication outboxd for table outbox.events");

    assert_said("missing_table_run", run(&postgres, "no_table", "").await);
    let own = "--table shop.outbox";
    assert_said("missing_table_setup", set_up(&postgres, "no_table", own).await);

    assert_said("missing_publication_run", run(&postgres, "no_publication", &created).await);
    let slot = "select pg_create_logical_replication_slot('outboxd_no_publication', 'pgoutput')";
    sql(&postgres, "no_publication", slot).await;
    assert_said("missing_publication_setup", set_up(&postgres, "no_publication", "").await);

    let without_insert = format!("{published} with (publish = 'update')");
    assert_said("no_insert_run", run(&postgres, "no_insert", &without_insert).await);
    assert_said("no_insert_setup", set_up(&postgres, "no_insert", "").await);

    let narrow = published.replace(", payload jsonb", "");
    assert_said("missing_column_run", run(&postgres, "no_column", &narrow).await);
    assert_said("missing_column_setup", set_up(&postgres, "no_column", "").await);

    let other = format!("{created}; {}; {OTHER}", table("others", FIVE_COLUMNS));
    assert_said("table_not_published_run", run(&postgres, "no_member", &other).await);

    assert_said("first_run", run(&postgres, "first", &published).await);
}

#[tokio::test]
async fn wal_level_replica() {
    let postgres = postgres(&[("wal_level", "replica")]).await;
    let (url, kafka) = (postgres.url("postgres"), kafka("postgres"));
    let run = Outboxd::new("run", &url, &kafka.bootstrap_servers()).stops().await;
    assert_said("wal_level_run", run);
    assert_said("wal_level_setup", Outboxd::new("setup", &url, NOBODY).stops().await);
}

#[tokio::test]
async fn a_misspelt_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("outboxd.toml");
    std::fs::write(&file, "[source]\npublicaton = 'shop'\n").expect("a writable folder");
    let command = format!("run --config {}", file.display());
    let said = Outboxd::new(&command, "postgres://relay@db/shop", NOBODY).stops().await;
    assert_said("misspelt_key_run", said);
}

fn table(name: &str, columns: &str) -> String {
    format!("create table outbox.{name} ({columns})")
}

const FIVE_COLUMNS: &str =
    "id uuid, aggregatetype text, aggregateid text, type text, payload jsonb";
const OTHER: &str = "create publication outboxd for table outbox.others";
