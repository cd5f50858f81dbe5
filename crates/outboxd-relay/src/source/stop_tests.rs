//! Every failure of a login says what to do about it.

use super::*;
use crate::source::error::ProtocolError;

fn server_stop(severity: &str, sqlstate: &str) -> Option<Stop> {
    let error = ServerError {
        sqlstate: sqlstate.to_owned(),
        severity: severity.to_owned(),
        message: "no".to_owned(),
        ..ServerError::default()
    };
    SourceError::from(error).to_stop()
}

#[test]
fn refusals_of_the_server_have_codes_of_their_own() {
    let code = |sqlstate| server_stop("FATAL", sqlstate).unwrap().code;
    assert_eq!(code("28P01"), Code::Login);
    assert_eq!(code("28000"), Code::Login);
    assert_eq!(code("3D000"), Code::Login);
    assert_eq!(code("42501"), Code::Permission);
    assert_eq!(code("53300"), Code::NoFreeSlot);
    assert_eq!(code("53400"), Code::NoFreeSlot);
    assert_eq!(code("57P03"), Code::PostgresUnreachable);
    for left_to_the_caller in ["55006", "42704", "55000", "42601"] {
        assert_eq!(server_stop("ERROR", left_to_the_caller), None);
    }
    for refused_at_login in ["42704", "22023"] {
        assert_eq!(code(refused_at_login), Code::Login);
    }
}

#[test]
fn each_hint_is_the_next_step() {
    let hint = |sqlstate| server_stop("FATAL", sqlstate).unwrap().hint.unwrap();
    assert!(hint("28P01").contains("password"));
    assert!(hint("28000").contains("pg_hba.conf"));
    assert!(hint("42501").contains("REPLICATION"));
    assert!(hint("53300").contains("max_wal_senders"));
}

#[test]
fn the_servers_own_hint_comes_first() {
    let error = ServerError {
        sqlstate: "28000".to_owned(),
        hint: Some("ask the administrator".to_owned()),
        detail: Some("because".to_owned()),
        ..ServerError::default()
    };
    let stop = SourceError::from(error).to_stop().unwrap();
    assert_eq!(stop.hint.as_deref(), Some("ask the administrator"));
    assert_eq!(stop.detail.as_deref(), Some("because (SQLSTATE 28000)"));
}

#[test]
fn an_unreachable_host_is_named_with_its_cause() {
    let error = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let error = SourceError::Unreachable { endpoint: "db:5432".to_owned(), error };
    let stop = error.to_stop().unwrap();
    assert!(error.is_transient());
    assert_eq!(stop.code, Code::PostgresUnreachable);
    assert_eq!(stop.message, "cannot reach db:5432");
    assert_eq!(stop.detail.as_deref(), Some("connection refused"));
}

#[test]
fn tls_and_protocol_failures_are_final() {
    let failures = [
        SourceError::Tls(TlsError::Refused),
        SourceError::Tls(TlsError::NotTrusted { reason: "self-signed".to_owned() }),
        SourceError::Tls(TlsError::PlaintextAfterAnswer),
        SourceError::Auth(AuthError::PasswordMissing),
        SourceError::Protocol(ProtocolError::Length),
    ];
    for error in failures {
        assert!(!error.is_transient(), "{error}");
        assert!(error.to_stop().is_some_and(|stop| stop.hint.is_some()), "{error}");
    }
}

#[test]
fn several_servers_are_transient_while_one_of_them_is() {
    let standby = || SourceError::NotPrimary { endpoint: "a:1".to_owned() };
    let refused = || SourceError::Tls(TlsError::Refused);
    let none = |attempts| SourceError::NoneUsable { attempts };
    assert!(none(vec![refused(), standby()]).is_transient());
    assert!(!none(vec![refused(), refused()]).is_transient());
    let detail = none(vec![standby(), refused()]).to_stop().unwrap().detail.unwrap();
    assert!(detail.contains("a:1") && detail.contains("TLS"), "{detail}");
}
