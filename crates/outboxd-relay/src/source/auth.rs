//! Logs in: answers whatever the server asks for, as far as it is allowed.
//!
//! SCRAM counts as done only when the server, too, has proved that it knows the password; an early
//! "ok" is refused. Weaker methods must be allowed by name, since a server in between could ask
//! for them to learn the password.

use std::str::FromStr;

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::{AuthError, ProtocolError, SourceError};
use super::frame::{AuthRequest, BackendFrame};
use super::framer::Framer;
use super::params::ChannelBinding;

/// Who logs in, and how far the server is trusted in choosing the way.
#[derive(Debug)]
pub struct Credentials<'a> {
    pub user: &'a str,
    pub password: Option<&'a SecretString>,
    pub channel_binding: ChannelBinding,
    /// See [`super::tls::Secured::end_point`].
    pub end_point: Option<Vec<u8>>,
    pub allowed: AllowedAuth,
}

/// The methods a server may ask for, named as in libpq's `require_auth`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AllowedAuth {
    /// The server asks for nothing: trust, peer, or a client certificate.
    pub none: bool,
    pub scram: bool,
    pub md5: bool,
    pub cleartext: bool,
}

impl Default for AllowedAuth {
    fn default() -> Self {
        Self { none: true, scram: true, md5: false, cleartext: false }
    }
}

impl FromStr for AllowedAuth {
    type Err = UnknownAuth;

    fn from_str(names: &str) -> Result<Self, Self::Err> {
        let mut allowed = Self { none: false, scram: false, md5: false, cleartext: false };
        for name in names.split(',').map(str::trim) {
            match name {
                "none" => allowed.none = true,
                "scram-sha-256" => allowed.scram = true,
                "md5" => allowed.md5 = true,
                "password" => allowed.cleartext = true,
                other => return Err(UnknownAuth(other.to_owned())),
            }
        }
        Ok(allowed)
    }
}

/// Not the name of a method.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown method {0:?} in require_auth: expected none, scram-sha-256, md5 or password")]
pub struct UnknownAuth(String);

/// Follows the server's requests up to its "ok".
pub async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    framer: &mut Framer<S>,
    credentials: &Credentials<'_>,
) -> Result<(), SourceError> {
    let Credentials { allowed, .. } = *credentials;
    let request = next_request(framer).await?;
    match request {
        AuthRequest::Sasl { mechanisms } => {
            allow(allowed.scram, "SCRAM")?;
            scram(framer, credentials, &mechanisms).await?;
        }
        _ if credentials.channel_binding == ChannelBinding::Require => {
            return Err(AuthError::NoChannelBinding.into());
        }
        AuthRequest::Ok => return Ok(allow(allowed.none, "no")?),
        AuthRequest::Md5 { salt } => {
            allow(allowed.md5, "md5")?;
            let password = password(credentials)?.as_bytes();
            let hash = md5_hash(credentials.user.as_bytes(), password, salt);
            framer.send(|out| frontend::password_message(hash.as_bytes(), out))?;
        }
        AuthRequest::Cleartext => {
            allow(allowed.cleartext, "cleartext password")?;
            let password = password(credentials)?.as_bytes();
            framer.send(|out| frontend::password_message(password, out))?;
        }
        AuthRequest::Unsupported(method) => {
            return Err(AuthError::Unsupported { method: method.to_owned() }.into());
        }
        AuthRequest::SaslContinue(_) | AuthRequest::SaslFinal(_) => return Err(unexpected()),
    }
    match next_request(framer).await? {
        AuthRequest::Ok => Ok(()),
        _ => Err(unexpected()),
    }
}

async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    framer: &mut Framer<S>,
    credentials: &Credentials<'_>,
    mechanisms: &[String],
) -> Result<(), SourceError> {
    let (mechanism, binding) = choose_mechanism(credentials, mechanisms)?;
    let mut scram = ScramSha256::new(password(credentials)?.as_bytes(), binding);
    framer.send(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))?;

    match next_request(framer).await? {
        AuthRequest::SaslContinue(data) => scram.update(&data).map_err(scram_error)?,
        _ => return Err(AuthError::Unproven.into()),
    }
    framer.send(|out| frontend::sasl_response(scram.message(), out))?;
    match next_request(framer).await? {
        AuthRequest::SaslFinal(data) => Ok(scram.finish(&data).map_err(scram_error)?),
        _ => Err(AuthError::Unproven.into()),
    }
}

/// Binds to the channel whenever both sides can. A server that does not offer it, though we could,
/// is told so: had somebody in between removed the offer, the server notices.
fn choose_mechanism(
    credentials: &Credentials<'_>,
    mechanisms: &[String],
) -> Result<(&'static str, sasl::ChannelBinding), AuthError> {
    let offers = |name| mechanisms.iter().any(|mechanism| mechanism == name);
    let wanted = credentials.channel_binding;
    let end_point = credentials.end_point.as_ref().filter(|_| wanted != ChannelBinding::Disable);
    match end_point {
        Some(data) if offers(SCRAM_SHA_256_PLUS) => {
            Ok((SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(data.clone())))
        }
        _ if wanted == ChannelBinding::Require => Err(AuthError::NoChannelBinding),
        _ if !offers(SCRAM_SHA_256) => {
            Err(AuthError::Unsupported { method: mechanisms.join(", ") })
        }
        Some(_) => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unrequested())),
        None => Ok((SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
    }
}

/// Sends what is queued and waits for the next request of the server.
async fn next_request<S: AsyncRead + AsyncWrite + Unpin>(
    framer: &mut Framer<S>,
) -> Result<AuthRequest, SourceError> {
    loop {
        match framer.next().await? {
            BackendFrame::Authentication(request) => return Ok(request),
            BackendFrame::Error(error) => return Err(SourceError::Server(error)),
            BackendFrame::Notice(_) => {}
            _ => return Err(unexpected()),
        }
    }
}

fn allow(allowed: bool, method: &'static str) -> Result<(), AuthError> {
    if allowed { Ok(()) } else { Err(AuthError::NotAllowed { method }) }
}

fn password<'a>(credentials: &Credentials<'a>) -> Result<&'a str, AuthError> {
    credentials.password.map(SecretString::expose_secret).ok_or(AuthError::PasswordMissing)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn scram_error(error: std::io::Error) -> AuthError {
    AuthError::Scram { reason: error.to_string() }
}

fn unexpected() -> SourceError {
    ProtocolError::Unexpected("message during authentication").into()
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
