//! The control session under TLS: whom it trusts, and what its login is bound to.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use outboxd_core::stop::{Code, Stop};
use outboxd_relay::control::ControlSession;
use outboxd_relay::source::params::ConnectParams;
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};

use crate::session;

/// A certificate for `localhost` that is its own CA, and its key, both in PEM.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().ca().build().unwrap()).unwrap();
    let names =
        SubjectAlternativeName::new().dns("localhost").build(&builder.x509v3_context(None, None));
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}

/// Lets `relay` in under TLS only, by SCRAM.
async fn server(certificate: Vec<u8>, key: Vec<u8>) -> Postgres {
    let hba = ["host all postgres all trust", "hostssl all relay all scram-sha-256"];
    let settings = [("ssl", "on"), ("ssl_cert_file", "tls.crt"), ("ssl_key_file", "tls.key")];
    let options = PgOptions {
        hba: Some(hba.map(str::to_owned).into()),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        files: vec![("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key)],
        ..PgOptions::of(PgVersion::V17)
    };
    let postgres = Postgres::start(options).await.unwrap();
    session(&postgres).await.execute("create role relay login password 'right'").await.unwrap();
    postgres
}

#[tokio::test]
async fn trust_and_channel_binding_are_those_of_the_replication_session() {
    let (certificate, key) = certificate();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &certificate).unwrap();
    let postgres = server(certificate, key).await;
    let connect = async |host: &str, query: &str| {
        let url = format!("postgres://relay:right@{host}:{}/postgres?{query}", postgres.port());
        ControlSession::connect(&ConnectParams::parse(&url).unwrap()).await.map_err(Stop::from)
    };
    let ca = format!("sslrootcert={}", ca.display());

    let encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    for query in [
        "sslmode=prefer",
        "sslmode=require&channel_binding=require",
        &format!("sslmode=verify-full&channel_binding=require&{ca}"),
    ] {
        let session = connect("localhost", query).await.unwrap();
        assert!(session.row(encrypted, &[]).await.unwrap().get::<_, bool>(0), "{query}");
    }
    // The certificate does not carry the address.
    connect("127.0.0.1", &format!("sslmode=verify-ca&{ca}")).await.unwrap();
    for (host, query) in [
        ("127.0.0.1", format!("sslmode=verify-full&{ca}")),
        ("localhost", "sslmode=verify-full".to_owned()),
        ("localhost", "sslmode=disable".to_owned()),
        ("localhost", "sslmode=disable&channel_binding=require".to_owned()),
    ] {
        assert_eq!(connect(host, &query).await.unwrap_err().code, Code::Login, "{host} {query}");
    }
}
