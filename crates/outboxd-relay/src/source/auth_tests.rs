//! Logins against a scripted server.

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::source::framer::Limits;
use crate::source::testing::message;

const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const GSS: u32 = 7;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

fn request(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u32(kind);
    body.extend_from_slice(data);
    message(b'R', &body)
}

fn credentials(password: Option<&SecretString>) -> Credentials<'_> {
    Credentials {
        user: "relay",
        password,
        channel_binding: ChannelBinding::Prefer,
        end_point: None,
        allowed: AllowedAuth::default(),
    }
}

/// Logs in at a server that sends these bytes and only then looks at what it was sent.
async fn log_in(credentials: &Credentials<'_>, sent: &[u8]) -> (Result<(), SourceError>, Vec<u8>) {
    let (client, mut server) = duplex(4096);
    server.write_all(sent).await.unwrap();
    server.shutdown().await.unwrap();
    let mut framer = Framer::new(client, Limits::for_rows(0));
    let result = authenticate(&mut framer, credentials).await;
    drop(framer);
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    (result, received)
}

async fn auth_error(credentials: &Credentials<'_>, sent: &[u8]) -> AuthError {
    match log_in(credentials, sent).await {
        (Err(SourceError::Auth(error)), received) => {
            assert!(received.is_empty(), "something was sent: {received:?}");
            error
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn weak_methods_send_nothing_unless_allowed_by_name() {
    let password = SecretString::from("secret");
    let refused = |method| AuthError::NotAllowed { method };
    let credentials = credentials(Some(&password));
    assert_eq!(auth_error(&credentials, &request(MD5, b"salt")).await, refused("md5"));
    assert_eq!(
        auth_error(&credentials, &request(CLEARTEXT, b"")).await,
        refused("cleartext password")
    );
}

#[tokio::test]
async fn weak_methods_work_when_allowed() {
    let password = SecretString::from("secret");
    let mut credentials = credentials(Some(&password));
    credentials.allowed = "md5,password".parse().unwrap();
    let script = [request(MD5, b"salt"), request(OK, b"")].concat();
    let (result, _) = log_in(&credentials, &script).await;
    result.unwrap();
    let script = [request(CLEARTEXT, b""), request(OK, b"")].concat();
    let (result, _) = log_in(&credentials, &script).await;
    result.unwrap();
    // Naming the weak ones took the others out.
    let sasl = request(SASL, b"SCRAM-SHA-256\0\0");
    assert_eq!(auth_error(&credentials, &sasl).await, AuthError::NotAllowed { method: "SCRAM" });
    assert_eq!(
        auth_error(&credentials, &request(OK, b"")).await,
        AuthError::NotAllowed { method: "no" }
    );
}

#[tokio::test]
async fn what_cannot_be_answered_is_named() {
    let without = credentials(None);
    let sasl = request(SASL, b"SCRAM-SHA-256\0\0");
    assert_eq!(auth_error(&without, &sasl).await, AuthError::PasswordMissing);
    assert_eq!(
        auth_error(&without, &request(GSS, b"")).await,
        AuthError::Unsupported { method: "GSSAPI".to_owned() }
    );
    assert_eq!(
        auth_error(&without, &request(SASL, b"OAUTHBEARER\0\0")).await,
        AuthError::Unsupported { method: "OAUTHBEARER".to_owned() }
    );
}

#[tokio::test]
async fn required_channel_binding_refuses_every_login_without_it() {
    let password = SecretString::from("secret");
    let mut credentials = credentials(Some(&password));
    credentials.channel_binding = ChannelBinding::Require;
    credentials.allowed = "none,md5,password,scram-sha-256".parse().unwrap();
    let both = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    for script in [
        request(OK, b""),
        request(MD5, b"salt"),
        request(CLEARTEXT, b""),
        request(SASL, both),
        request(SASL, b"SCRAM-SHA-256\0\0"),
    ] {
        assert_eq!(auth_error(&credentials, &script).await, AuthError::NoChannelBinding);
    }
}

#[test]
fn the_channel_is_bound_whenever_both_sides_can() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let chosen = |binding, end_point: Option<&[u8]>, offered: &[&str]| {
        let mut credentials = credentials(None);
        credentials.channel_binding = binding;
        credentials.end_point = end_point.map(<[u8]>::to_vec);
        let (name, binding) = choose_mechanism(&credentials, &names(offered)).unwrap();
        let message = ScramSha256::new(b"", binding).message().to_vec();
        (name, char::from(message[0]))
    };
    let both = [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
    let hash = Some(&b"hash"[..]);
    assert_eq!(chosen(ChannelBinding::Prefer, hash, &both), (SCRAM_SHA_256_PLUS, 'p'));
    assert_eq!(chosen(ChannelBinding::Require, hash, &both), (SCRAM_SHA_256_PLUS, 'p'));
    assert_eq!(chosen(ChannelBinding::Disable, hash, &both), (SCRAM_SHA_256, 'n'));
    assert_eq!(chosen(ChannelBinding::Prefer, hash, &both[1..]), (SCRAM_SHA_256, 'y'));
    assert_eq!(chosen(ChannelBinding::Prefer, None, &both), (SCRAM_SHA_256, 'n'));
}

/// Reads a message of the client: its body.
async fn read_message(server: &mut DuplexStream) -> String {
    assert_eq!(server.read_u8().await.unwrap(), b'p');
    let length = server.read_u32().await.unwrap();
    let mut body = vec![0; length as usize - 4];
    server.read_exact(&mut body).await.unwrap();
    String::from_utf8_lossy(&body).into_owned()
}

/// A SCRAM login up to the client's proof, which this server answers with these bytes.
async fn scram_answered(last: Vec<u8>) -> AuthError {
    let (client, mut server) = duplex(4096);
    let script = async move {
        server.write_all(&request(SASL, b"SCRAM-SHA-256\0\0")).await.unwrap();
        let first = read_message(&mut server).await;
        // The nonce may hold anything but a comma.
        let (_, nonce) = first.split_once(",r=").unwrap();
        let challenge = format!("r={nonce}server,s=c2FsdA==,i=4096");
        server.write_all(&request(SASL_CONTINUE, challenge.as_bytes())).await.unwrap();
        assert!(read_message(&mut server).await.contains(",p="));
        server.write_all(&last).await.unwrap();
        drop(server);
    };
    let password = SecretString::from("secret");
    let mut framer = Framer::new(client, Limits::for_rows(0));
    let credentials = credentials(Some(&password));
    let (result, ()) = tokio::join!(authenticate(&mut framer, &credentials), script);
    match result {
        Err(SourceError::Auth(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_is_refused() {
    let signature = format!("v={}=", "A".repeat(43));
    let script = [request(SASL_FINAL, signature.as_bytes()), request(OK, b"")].concat();
    let reason = "SCRAM verification error".to_owned();
    assert_eq!(scram_answered(script).await, AuthError::Scram { reason });
}

#[tokio::test]
async fn a_server_that_skips_its_proof_is_refused() {
    assert_eq!(scram_answered(request(OK, b"")).await, AuthError::Unproven);
    let password = SecretString::from("secret");
    let script = [request(SASL, b"SCRAM-SHA-256\0\0"), request(OK, b"")].concat();
    let (result, _) = log_in(&credentials(Some(&password)), &script).await;
    assert!(matches!(result, Err(SourceError::Auth(AuthError::Unproven))), "{result:?}");
}

#[test]
fn an_unknown_method_name_is_refused() {
    assert!("scram-sha-256,md4".parse::<AllowedAuth>().is_err());
    assert!("".parse::<AllowedAuth>().is_err());
}
