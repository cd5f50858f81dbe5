//! The replication session against real servers: every version streams, every way of logging in
//! works, and every refusal is told apart.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use outboxd_core::stop::Code;
use outboxd_relay::source::error::{AuthError, SourceError, TlsError};
use outboxd_relay::source::frame::BackendFrame;
use outboxd_relay::source::params::ConnectParams;
use outboxd_relay::source::session::{ReplicationSession, SessionOptions, State};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};

#[tokio::test]
async fn every_version_streams_and_streams_again() -> Result<()> {
    for version in PgVersion::ALL {
        let server = Postgres::start(PgOptions::of(version)).await?;
        let url = server.url("postgres");
        let mut session = connect(&url).await?;
        ensure!(session.server().version_num / 10_000 == u32::from(version.major()));
        ensure!(session.identify_system().await?.database == "postgres");
        ensure!(session.timeline_history(1).await?.is_empty());

        let mut other = connect(&url).await?;
        for sql in ["create table t (v text)", "create publication \"a\"\"b\" for table t"] {
            other.simple_query(sql).await?;
        }
        ensure!(sqlstate(session.start("s", &["a\"b"]).await) == "42704");
        session.create_logical_slot("s", true).await?;
        ensure!(session.try_lock("name").await?);
        session.start("s", &["a\"b"]).await?;
        other.simple_query("insert into t values ('one'), (repeat('x', 200000)), ('two')").await?;
        assert_three_rows(&mut session).await?;

        ensure!(sqlstate(other.start("s", &["a\"b"]).await) == "55006");
        end_stream(&mut session).await?;
        session.ping().await?;
        // Nothing was confirmed, so it all comes again.
        session.start("s", &["a\"b"]).await?;
        assert_three_rows(&mut session).await?;

        // The lock has outlived both streams, and dies with the session.
        let slice = other.lock_wait_slice().await?;
        ensure!(!other.lock_slice("name", slice).await?);
        let (locked, ()) =
            tokio::join!(other.lock_slice("name", Duration::from_secs(30)), session.close());
        ensure!(locked?);
    }
    Ok(())
}

#[tokio::test]
async fn a_terminated_stream_says_so() -> Result<()> {
    let server = Postgres::start(PgOptions::default()).await?;
    let url = server.url("postgres");
    let (mut session, mut other) = (connect(&url).await?, connect(&url).await?);
    other.simple_query("create publication p").await?;
    session.create_logical_slot("s", false).await?;
    session.start("s", &["p"]).await?;
    let pid = session.server().process_id;
    other.simple_query(&format!("select pg_terminate_backend({pid})")).await?;
    loop {
        match session.next_frame()? {
            Some(BackendFrame::Error(error)) => {
                ensure!(error.sqlstate == "57P01");
                break;
            }
            // A keepalive may come before it, in the same read.
            Some(_) => {}
            None => drop(session.fill().await?),
        }
    }
    ensure!(matches!(session.fill().await, Err(SourceError::Closed | SourceError::Io(_))));
    Ok(())
}

#[tokio::test]
async fn logs_in_by_every_method_and_tells_refusals_apart() -> Result<()> {
    let files = tempfile::tempdir()?;
    let tls = Authority::new()?;
    std::fs::write(files.path().join("ca.pem"), tls.certificate.to_pem()?)?;
    std::fs::write(files.path().join("other.pem"), Authority::new()?.certificate.to_pem()?)?;
    tls.write_identity(files.path(), "certified")?;
    let server = Postgres::start(secured(&tls)?).await?;
    create_roles(&server.url("postgres")).await?;
    let url = |user: &str, host: &str, query: &str| {
        format!("postgres://{user}@{host}:{}/postgres?{query}", server.port())
    };
    let file = |name: &str| files.path().join(name).display().to_string();
    let ca = format!("sslrootcert={}", file("ca.pem"));
    let bound = format!("{ca}&channel_binding=require");
    let identity = format!("{ca}&sslcert={}&sslkey={}", file("client.pem"), file("client.key"));

    for (user, query) in [
        ("scram:pw", "sslmode=disable"),
        ("scram:pw", "sslmode=prefer"),
        ("scram:pw", "sslmode=require&channel_binding=disable"),
        ("scram:pw", &bound),
        ("digest:pw", "require_auth=md5"),
        ("clear:pw", "require_auth=password"),
        ("certified", &identity),
    ] {
        connect(&url(user, "localhost", query)).await?.ping().await?;
    }
    connect(&url("scram:pw", "127.0.0.1", &format!("{ca}&sslmode=verify-ca"))).await?;

    for (user, database, code) in [
        ("scram:wrong", "postgres", Code::Login),
        ("rejected:pw", "postgres", Code::Login),
        ("scram:pw", "missing", Code::Login),
        ("powerless:pw", "postgres", Code::Permission),
    ] {
        let url = format!("postgres://{user}@localhost:{}/{database}", server.port());
        let stop = refusal(&url).await?.to_stop();
        ensure!(stop.as_ref().is_some_and(|stop| stop.code == code), "{user}: {stop:?}");
    }
    let not_allowed = refusal(&url("digest:pw", "localhost", "")).await?;
    ensure!(matches!(not_allowed, SourceError::Auth(AuthError::NotAllowed { method: "md5" })));
    let stranger = format!("sslrootcert={}", file("other.pem"));
    for (host, query) in [("localhost", &stranger), ("127.0.0.1", &ca)] {
        let error = refusal(&url("scram:pw", host, query)).await?;
        ensure!(matches!(error, SourceError::Tls(TlsError::NotTrusted { .. })), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn logs_in_through_a_unix_socket() -> Result<()> {
    let server = Postgres::start(PgOptions::default()).await?;
    // A server in a container has no socket that could be reached from here.
    let Some(directory) = server.socket_dir() else { return Ok(()) };
    let (directory, port) = (directory.display(), server.port());
    let url = format!("postgres://postgres@/postgres?host={directory}&port={port}");
    connect(&url).await?.ping().await?;
    Ok(())
}

async fn connect(url: &str) -> Result<ReplicationSession, SourceError> {
    let params = ConnectParams::parse(url).expect("the URLs of this file are valid");
    let wal_sender_timeout = Duration::from_secs(15);
    let options = SessionOptions { wal_sender_timeout, max_row_bytes: 100_000 };
    ReplicationSession::connect(&params, options).await
}

async fn refusal(url: &str) -> Result<SourceError> {
    match connect(url).await {
        Ok(_) => bail!("{url} was let in"),
        Err(error) => {
            ensure!(!error.is_transient(), "{error:?}");
            Ok(error)
        }
    }
}

fn sqlstate(result: Result<(), SourceError>) -> String {
    let error = result.expect_err("the server refuses");
    error.as_server().map(|error| error.sqlstate.clone()).unwrap_or_default()
}

/// Reads one transaction: a short row, one to be skimmed, a short row.
async fn assert_three_rows(session: &mut ReplicationSession) -> Result<()> {
    let (mut changes, mut skimmed) = (Vec::new(), 0);
    loop {
        match session.next_frame()? {
            // The kind of change stands behind the header of 25 bytes.
            Some(BackendFrame::CopyData(data)) if data[0] == b'w' => changes.push(data[25]),
            Some(BackendFrame::CopyData(_)) => {}
            Some(BackendFrame::Skimmed { head, length }) => {
                ensure!(length > 200_000 && head[25] == b'I');
                skimmed += 1;
            }
            Some(other) => bail!("unexpected {other:?}"),
            None => drop(session.fill().await?),
        }
        if changes.last() == Some(&b'C') {
            ensure!(changes == b"BRIIC" && skimmed == 1, "{changes:?}");
            return Ok(());
        }
    }
}

async fn end_stream(session: &mut ReplicationSession) -> Result<()> {
    session.send_copy_done()?;
    while session.state() != State::Idle {
        match session.next_frame()? {
            Some(BackendFrame::Error(error)) => bail!(error),
            Some(_) => {}
            None => drop(session.fill().await?),
        }
    }
    Ok(())
}

fn secured(tls: &Authority) -> Result<PgOptions> {
    let (certificate, key) = tls.issue("localhost")?;
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let hba = [
        "host all postgres all trust",
        "hostssl all certified all cert",
        "host all digest all md5",
        "host all clear all password",
        "host all rejected all reject",
        "host all all all scram-sha-256",
    ];
    Ok(PgOptions {
        settings: vec![
            setting("ssl", "on"),
            setting("ssl_ca_file", "ca.crt"),
            setting("ssl_cert_file", "own.crt"),
            setting("ssl_key_file", "own.key"),
        ],
        hba: Some(hba.map(str::to_owned).to_vec()),
        files: vec![
            ("ca.crt".to_owned(), tls.certificate.to_pem()?),
            ("own.crt".to_owned(), certificate.to_pem()?),
            ("own.key".to_owned(), key.private_key_to_pem_pkcs8()?),
        ],
        ..PgOptions::default()
    })
}

async fn create_roles(url: &str) -> Result<()> {
    let mut session = connect(url).await?;
    for sql in [
        "create role scram login replication password 'pw'",
        "create role clear login replication password 'pw'",
        "create role rejected login replication password 'pw'",
        "create role powerless login password 'pw'",
        "create role certified login replication",
        "set password_encryption = 'md5'; create role digest login replication password 'pw'",
    ] {
        session.simple_query(sql).await?;
    }
    Ok(())
}

/// Issues certificates.
struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    fn new() -> Result<Self> {
        let (mut builder, key) = certificate("an authority", None)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    fn issue(&self, name: &str) -> Result<(X509, PKey<Private>)> {
        let (mut builder, key) = certificate(name, Some(&self.certificate))?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let alternative = SubjectAlternativeName::new().dns(name).build(&context)?;
        builder.append_extension(alternative)?;
        // Not the usual hash: channel binding depends on it.
        builder.sign(&self.key, MessageDigest::sha384())?;
        Ok((builder.build(), key))
    }

    fn write_identity(&self, directory: &Path, name: &str) -> Result<()> {
        let (certificate, key) = self.issue(name)?;
        std::fs::write(directory.join("client.pem"), certificate.to_pem()?)?;
        std::fs::write(directory.join("client.key"), key.private_key_to_pem_pkcs8()?)?;
        Ok(())
    }
}

fn certificate(name: &str, issuer: Option<&X509>) -> Result<(X509Builder, PKey<Private>)> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_text("CN", name)?;
    let subject = subject.build();
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(issuer.map_or(&subject, |issuer| issuer.subject_name()))?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
    Ok((builder, key))
}
