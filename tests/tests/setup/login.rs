//! Logins that fail, in words that help.

use outboxd_core::stop::{Code, Stop};
use outboxd_relay::control::{ControlError, ControlSession};
use outboxd_relay::source::params::ConnectParams;
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};

use crate::{server, session};

async fn refused(url: &str) -> ControlError {
    let params = ConnectParams::parse(url).unwrap();
    ControlSession::connect(&params).await.unwrap_err()
}

fn stop(error: ControlError) -> (Code, Stop) {
    let stop = Stop::from(error);
    assert!(stop.hint.is_some(), "{stop:?}");
    (stop.code, stop)
}

/// Trusts `postgres`, and asks everybody else for a password by `method`.
async fn asking_for(method: &str) -> Postgres {
    let hba = ["host all postgres all trust".to_owned(), format!("host all all all {method}")];
    let options = PgOptions { hba: Some(hba.into()), ..PgOptions::of(PgVersion::V17) };
    let postgres = Postgres::start(options).await.unwrap();
    session(&postgres).await.execute("create role relay login password 'right'").await.unwrap();
    postgres
}

fn url(postgres: &Postgres, user: &str, database: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{}/{database}", postgres.port())
}

#[tokio::test]
async fn scram_takes_the_right_password_only() {
    let postgres = asking_for("scram-sha-256").await;
    let right = ConnectParams::parse(&url(&postgres, "relay:right", "postgres")).unwrap();
    ControlSession::connect(&right).await.unwrap();

    let error = refused(&url(&postgres, "relay:wrong", "postgres")).await;
    assert!(!error.is_transient());
    let (code, stop) = stop(error);
    assert_eq!(code, Code::Login);
    assert!(stop.message.contains("password authentication failed for user \"relay\""), "{stop:?}");

    let (code, stop) = self::stop(refused(&url(&postgres, "relay", "postgres")).await);
    assert_eq!(
        (code, stop.message.as_str()),
        (Code::Login, "the server asks for a password, and none is given")
    );
}

#[tokio::test]
async fn a_password_is_not_sent_in_clear_text() {
    let postgres = asking_for("password").await;
    let (code, stop) = stop(refused(&url(&postgres, "relay:right", "postgres")).await);
    assert_eq!(code, Code::Login);
    assert!(
        stop.message.contains("cleartext password authentication, which is not allowed"),
        "{stop:?}"
    );

    let allowed = format!("{}?require_auth=password", url(&postgres, "relay:right", "postgres"));
    ControlSession::connect(&ConnectParams::parse(&allowed).unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let postgres = server(PgVersion::V17).await;
    let (code, stop) = stop(refused(&url(&postgres, "postgres", "nowhere")).await);
    assert_eq!(code, Code::Login);
    assert!(stop.message.contains("database \"nowhere\" does not exist"), "{stop:?}");
    let (code, stop) = self::stop(refused(&url(&postgres, "nobody", "postgres")).await);
    assert_eq!(code, Code::Login);
    assert!(stop.message.contains("role \"nobody\" does not exist"), "{stop:?}");
}

#[tokio::test]
async fn a_database_that_may_not_be_connected_to() {
    let postgres = server(PgVersion::V17).await;
    let admin = session(&postgres).await;
    admin
        .execute("create role stranger login; revoke connect on database postgres from public")
        .await
        .unwrap();
    let (code, stop) = stop(refused(&url(&postgres, "stranger", "postgres")).await);
    assert_eq!(code, Code::Permission, "{stop:?}");
}

#[tokio::test]
async fn a_server_that_is_gone_may_come_back() {
    let mut postgres = server(PgVersion::V17).await;
    let mut session = session(&postgres).await;
    postgres.stop(outboxd_sandbox::StopMode::Fast).await.unwrap();
    session.closed().await;
    let error = session.execute("select 1").await.unwrap_err();
    assert!(error.is_transient(), "{error}");

    let error = refused(&url(&postgres, "postgres", "postgres")).await;
    assert!(error.is_transient());
    let (code, stop) = stop(error);
    assert_eq!(code, Code::PostgresUnreachable);
    assert!(stop.message.starts_with("cannot reach 127.0.0.1:"), "{stop:?}");
}
