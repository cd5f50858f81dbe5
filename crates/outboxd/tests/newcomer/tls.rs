//! The connection cannot be encrypted as it was asked for.

use std::fs;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};

use crate::assert_said;
use crate::program::Outboxd;
use crate::servers::{NOBODY, owned, postgres, start};

async fn refused(command: &str, postgres: &Postgres, query: &str) -> String {
    let url = format!("postgres://postgres@localhost:{}/postgres?{query}", postgres.port());
    Outboxd::new(command, &url, NOBODY).stops().await
}

#[tokio::test]
async fn tls_is_not_offered() {
    let postgres = postgres(&[]).await;
    assert_said("no_tls_run", refused("run", &postgres, "sslmode=require").await);
    assert_said("no_tls_setup", refused("setup", &postgres, "sslmode=require").await);
}

#[tokio::test]
async fn the_certificate_is_not_trusted() {
    let (certificate, key) = certificate("localhost").expect("a certificate");
    let settings = [("ssl", "on"), ("ssl_cert_file", "tls.crt"), ("ssl_key_file", "tls.key")];
    let files = vec![("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key)];
    let options = PgOptions { settings: owned(&settings), files, ..PgOptions::of(PgVersion::V17) };
    let postgres = start(options).await;

    assert_said("untrusted_run", refused("run", &postgres, "sslmode=verify-full").await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = folder.path().join("ca.pem");
    let (other, _) = self::certificate("elsewhere").expect("a certificate");
    fs::write(&ca, other).expect("a writable folder");
    let query = format!("sslmode=verify-full&sslrootcert={}", ca.display());
    assert_said("untrusted_setup", refused("setup", &postgres, &query).await);
    fs::remove_file(&ca).expect("a file");
    assert_said("no_ca_file_run", refused("run", &postgres, &query).await);
}

/// A certificate for this host that is its own CA, and its key, both in PEM.
fn certificate(host: &str) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", host)?;
    let name = name.build();
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = BigNum::from_u32(1)?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(2)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;
    builder.append_extension(BasicConstraints::new().ca().build()?)?;
    let names = SubjectAlternativeName::new().dns(host).build(&builder.x509v3_context(None, None));
    builder.append_extension(names?)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((builder.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
}
