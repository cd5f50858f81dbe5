//! Postgres is there and does not let us in. One server: pg_hba.conf decides by role.

use outboxd_sandbox::{PgOptions, PgVersion, Postgres};

use crate::assert_said;
use crate::program::{Outboxd, PASSWORD, WRONG_PASSWORD};
use crate::servers::{NOBODY, sql, start};

async fn server() -> Postgres {
    let hba = [
        "host all postgres all trust",
        "host all ghost all trust",
        "host all mere all trust",
        "host all relay all scram-sha-256",
        "host all old all md5",
    ];
    let hba = Some(hba.map(str::to_owned).into());
    let postgres = start(PgOptions { hba, ..PgOptions::of(PgVersion::V17) }).await;
    let roles = format!(
        "create role mere login;
         create role stranger login replication;
         create role relay login replication password '{PASSWORD}';
         set password_encryption = 'md5';
         create role old login replication password '{PASSWORD}'"
    );
    sql(&postgres, "postgres", &roles).await;
    postgres
}

/// Kafka is never asked: the login comes first.
async fn refused(command: &str, postgres: &Postgres, user: &str, database: &str) -> String {
    let url = format!("postgres://{user}@127.0.0.1:{}/{database}", postgres.port());
    Outboxd::new(command, &url, NOBODY).stops().await
}

#[tokio::test]
async fn the_login_is_refused() {
    let postgres = server().await;
    let wrong = format!("relay:{WRONG_PASSWORD}");
    assert_said("wrong_password_run", refused("run", &postgres, &wrong, "postgres").await);
    assert_said("wrong_password_setup", refused("setup", &postgres, &wrong, "postgres").await);
    assert_said("no_password_run", refused("run", &postgres, "relay", "postgres").await);
    assert_said("no_such_role_run", refused("run", &postgres, "ghost", "postgres").await);
    assert_said("no_such_role_setup", refused("setup", &postgres, "ghost", "postgres").await);
    assert_said("no_hba_entry_run", refused("run", &postgres, "stranger", "postgres").await);
    assert_said("no_hba_entry_setup", refused("setup", &postgres, "stranger", "postgres").await);
    assert_said("no_such_database_run", refused("run", &postgres, "postgres", "shop").await);
    assert_said("no_such_database_setup", refused("setup", &postgres, "postgres", "shop").await);
    assert_said("no_replication_run", refused("run", &postgres, "mere", "postgres").await);
    assert_said("no_replication_setup", refused("setup", &postgres, "mere", "postgres").await);
}

#[tokio::test]
async fn a_weak_login_is_not_allowed() {
    let postgres = server().await;
    let old = format!("old:{PASSWORD}");
    assert_said("md5_run", refused("run", &postgres, &old, "postgres").await);
    assert_said("md5_setup", refused("setup", &postgres, &old, "postgres").await);
}
