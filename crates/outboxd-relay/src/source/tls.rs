//! Asks the server for TLS and shakes hands.
//!
//! Nothing that arrives before the handshake is ever taken for what the server said under TLS.

use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;

use bytes::BytesMut;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslRef, SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509CheckFlags;
use openssl::x509::{X509Ref, X509VerifyResult};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::error::{SourceError, TlsError};
use super::socket::Socket;
use super::tls_settings::{ClientIdentity, TlsMode, TlsSettings};

/// The socket to log in through, and what a login on it can be bound to.
#[derive(Debug)]
pub struct Secured {
    pub socket: Socket,
    /// The `tls-server-end-point` data of RFC 5929: a hash of the server's certificate. `None`
    /// without TLS, or when the certificate's signature names no hash.
    pub end_point: Option<Vec<u8>>,
}

/// Encrypts the connection as far as the settings want and the server can.
pub async fn secure(
    mut stream: TcpStream,
    host: &str,
    settings: &TlsSettings,
) -> Result<Secured, SourceError> {
    if settings.mode == TlsMode::Disable {
        return Ok(Secured { socket: Socket::Tcp(stream), end_point: None });
    }
    // Read the files first: a mistake in them is the user's to hear, whatever the server says.
    let ssl = prepare(settings, host)?;
    match (request(&mut stream).await?, settings.mode) {
        (true, _) => handshake(stream, ssl).await,
        (false, TlsMode::Prefer) => Ok(Secured { socket: Socket::Tcp(stream), end_point: None }),
        (false, _) => Err(TlsError::Refused.into()),
    }
}

/// Whether the server agrees to TLS.
async fn request(stream: &mut TcpStream) -> Result<bool, SourceError> {
    let mut message = BytesMut::new();
    frontend::ssl_request(&mut message);
    stream.write_all(&message).await.map_err(SourceError::Io)?;
    // Room for more than the one byte of the answer, to see whether more came along. What comes
    // later meets the handshake, which fails on it.
    let mut answer = [0; 64];
    match stream.read(&mut answer).await.map_err(SourceError::Io)? {
        0 => Err(SourceError::Closed),
        1 if answer[0] == b'S' => Ok(true),
        1 if answer[0] == b'N' => Ok(false),
        _ if answer[0] == b'S' || answer[0] == b'N' => Err(TlsError::PlaintextAfterAnswer.into()),
        // Also an ErrorResponse: whoever sent it has not been authenticated, so it is not shown.
        _ => Err(TlsError::BadAnswer(answer[0]).into()),
    }
}

async fn handshake(stream: TcpStream, ssl: Ssl) -> Result<Secured, SourceError> {
    let stream = BufReader::with_capacity(BELOW_TLS_BYTES, stream);
    let mut stream = SslStream::new(ssl, stream).map_err(TlsError::Setup)?;
    if let Err(error) = Pin::new(&mut stream).connect().await {
        return Err(match stream.ssl().verify_result() {
            X509VerifyResult::OK => TlsError::Handshake(error),
            refused => TlsError::NotTrusted { reason: refused.error_string().to_owned() },
        }
        .into());
    }
    let end_point = end_point(stream.ssl())?;
    Ok(Secured { socket: Socket::Tls(Box::new(stream)), end_point })
}

/// With a CA of the operator, no other is trusted. Those of the system are only read when they are
/// needed: there are many, and reading them takes longer than all the rest of a connection.
fn prepare(settings: &TlsSettings, host: &str) -> Result<Ssl, TlsError> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let verifies = settings.verifies_chain();
    builder.set_verify(if verifies { SslVerifyMode::PEER } else { SslVerifyMode::NONE });
    if let Some(ca) = &settings.ca {
        builder.set_ca_file(ca).map_err(|error| file_error(ca, error))?;
    } else if verifies {
        builder.set_default_verify_paths()?;
    }
    if let Some(identity) = &settings.identity {
        set_identity(&mut builder, identity)?;
    }
    let mut ssl = Ssl::new(&builder.build())?;
    expect_host(&mut ssl, host, settings.mode == TlsMode::VerifyFull)?;
    Ok(ssl)
}

/// Names the host to the server, and says whether its certificate has to carry that name.
fn expect_host(ssl: &mut Ssl, host: &str, verifies: bool) -> Result<(), ErrorStack> {
    // What is no address is a name.
    let address: Option<IpAddr> = host.parse().ok();
    if address.is_none() {
        // Addresses are not allowed there (RFC 6066, section 3).
        ssl.set_hostname(host)?;
    }
    if !verifies {
        return Ok(());
    }
    let expected = ssl.param_mut();
    expected.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
    match address {
        Some(address) => expected.set_ip(address),
        None => expected.set_host(host),
    }
}

fn set_identity(
    builder: &mut SslContextBuilder,
    identity: &ClientIdentity,
) -> Result<(), TlsError> {
    let ClientIdentity { certificate, key } = identity;
    builder
        .set_certificate_chain_file(certificate)
        .map_err(|error| file_error(certificate, error))?;
    builder
        .set_private_key_file(key, SslFiletype::PEM)
        .and_then(|()| builder.check_private_key())
        .map_err(|error| file_error(key, error))
}

fn end_point(ssl: &SslRef) -> Result<Option<Vec<u8>>, TlsError> {
    let Some(certificate) = ssl.peer_certificate() else { return Ok(None) };
    let Some(digest) = end_point_digest(&certificate) else { return Ok(None) };
    Ok(Some(certificate.digest(digest)?.to_vec()))
}

/// The hash of the certificate's signature; SHA-256 in place of the broken ones (RFC 5929).
fn end_point_digest(certificate: &X509Ref) -> Option<MessageDigest> {
    let algorithm = certificate.signature_algorithm().object().nid().signature_algorithms()?;
    match algorithm.digest {
        Nid::MD5 | Nid::SHA1 => Some(MessageDigest::sha256()),
        digest => MessageDigest::from_nid(digest),
    }
}

fn file_error(path: &Path, error: ErrorStack) -> TlsError {
    TlsError::File { path: path.to_owned(), error }
}

const BELOW_TLS_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that answers the TLS request with these bytes.
    async fn answered(answer: &'static [u8], mode: TlsMode) -> Result<Secured, SourceError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let server = async move {
            let mut request = [0; 8];
            server.read_exact(&mut request).await.unwrap();
            assert_eq!(request, *b"\0\0\0\x08\x04\xd2\x16\x2f");
            server.write_all(answer).await.unwrap();
        };
        let settings = TlsSettings { mode, ..TlsSettings::default() };
        let (result, ()) = tokio::join!(secure(stream, "localhost", &settings), server);
        result
    }

    #[tokio::test]
    async fn bytes_behind_the_answer_are_refused() {
        for answer in [&b"SE"[..], b"SR\0\0\0\x08\0\0\0\0", b"NR\0\0\0\x08\0\0\0\0"] {
            for mode in [TlsMode::Prefer, TlsMode::Require] {
                let result = answered(answer, mode).await;
                let Err(SourceError::Tls(TlsError::PlaintextAfterAnswer)) = result else {
                    panic!("{answer:?}: {result:?}");
                };
            }
        }
    }

    #[tokio::test]
    async fn only_prefer_goes_on_without_tls() {
        let plain = answered(b"N", TlsMode::Prefer).await.unwrap();
        assert!(matches!(plain.socket, Socket::Tcp(_)) && plain.end_point.is_none());
        for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
            let result = answered(b"N", mode).await;
            assert!(matches!(result, Err(SourceError::Tls(TlsError::Refused))), "{result:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_an_error() {
        let result = answered(b"ESFATAL\0\0", TlsMode::Prefer).await;
        assert!(matches!(result, Err(SourceError::Tls(TlsError::BadAnswer(b'E')))), "{result:?}");
        let result = answered(b"HTTP", TlsMode::Require).await;
        assert!(matches!(result, Err(SourceError::Tls(TlsError::BadAnswer(b'H')))), "{result:?}");
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let ca = Some("no-such-ca.pem".into());
        let settings = TlsSettings::new(None, ca, None, None).unwrap();
        let error = prepare(&settings, "localhost").err().unwrap();
        assert_eq!(error.to_string(), "cannot use no-such-ca.pem");
    }
}
