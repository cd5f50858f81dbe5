//! The search for a server that will do.

use std::time::Duration;

use super::*;
use crate::source::testing::{ScriptedServer, rows, server_error};

const OPTIONS: SessionOptions =
    SessionOptions { wal_sender_timeout: Duration::from_secs(15), max_row_bytes: 1024 };

#[tokio::test]
async fn passes_over_the_dead_and_the_standby() {
    let [dead, standby, primary] =
        [ScriptedServer::listen().await, ScriptedServer::listen().await, ScriptedServer::listen().await];
    let params = ScriptedServer::params(&[&dead, &standby, &primary]);
    drop(dead);
    let servers = async {
        let mut first = ScriptedServer::accept_login(&standby).await;
        first.answer("pg_is_in_recovery", rows(&["t"])).await;
        let mut second = ScriptedServer::accept_login(&primary).await;
        second.answer("pg_is_in_recovery", rows(&["f"])).await;
        second
    };
    let (connected, server) = tokio::join!(connect(&params, OPTIONS), servers);
    let connected = connected.unwrap();
    assert_eq!((connected.info.version_num, connected.info.process_id), (150_018, 7));
    for setting in ["replication\0database\0", "wal_sender_timeout\x0015000\0", "TimeZone\0UTC\0"] {
        assert!(server.startup.contains(setting), "{:?} has no {setting:?}", server.startup);
    }
}

#[tokio::test]
async fn no_usable_server_names_every_attempt() {
    let [dead, standby] = [ScriptedServer::listen().await, ScriptedServer::listen().await];
    let params = ScriptedServer::params(&[&dead, &standby]);
    drop(dead);
    let server = async {
        let mut server = ScriptedServer::accept_login(&standby).await;
        server.answer("pg_is_in_recovery", rows(&["t"])).await;
    };
    let (result, ()) = tokio::join!(connect(&params, OPTIONS), server);
    let error = result.unwrap_err();
    assert!(error.is_transient());
    let SourceError::NoneUsable { attempts } = error else { panic!("{error:?}") };
    assert!(matches!(attempts[0], SourceError::Unreachable { .. }), "{attempts:?}");
    assert!(matches!(attempts[1], SourceError::NotPrimary { .. }), "{attempts:?}");
}

#[tokio::test]
async fn a_final_refusal_ends_the_search() {
    let [first, second] = [ScriptedServer::listen().await, ScriptedServer::listen().await];
    let params = ScriptedServer::params(&[&first, &second]);
    let server = async {
        let mut server = ScriptedServer::accept(&first).await;
        server.send(&server_error("FATAL", "28P01")).await;
        server
    };
    // The second host never answers: had it been asked, this would not return.
    let (result, _server) = tokio::join!(connect(&params, OPTIONS), server);
    let error = result.unwrap_err();
    assert_eq!(error.as_server().unwrap().sqlstate, "28P01");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = ScriptedServer::listen().await;
    let mut params = ScriptedServer::params(&[&silent]);
    params.connect_timeout = Duration::from_millis(1);
    let error = connect(&params, OPTIONS).await.unwrap_err();
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_missing_socket_is_unreachable() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("postgres://u@/d?host={}", directory.path().display());
    let error = connect(&ConnectParams::parse(&url).unwrap(), OPTIONS).await.unwrap_err();
    assert!(error.to_string().ends_with("/.s.PGSQL.5432"), "{error}");
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
}
