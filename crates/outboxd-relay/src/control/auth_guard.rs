//! Refuses a server that asks for the password in a way that is not allowed.
//!
//! The library answers whatever it is asked for, in clear text too, and whoever sits between here
//! and the server may be the one who asks. So the server's first message is looked at before the
//! library sees the whole of it. What follows a SCRAM request the library checks itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use crate::source::auth::AllowedAuth;
use crate::source::error::{AuthError, ProtocolError};

/// A stream on which the first message has to be an allowed request, or an error.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    end_point: Option<Vec<u8>>,
    allowed: AllowedAuth,
    has_password: bool,
    /// The beginning of what was read: kind, length and method of the first message.
    seen: Vec<u8>,
}

impl<S> Guarded<S> {
    pub(super) fn new(
        stream: S,
        end_point: Option<Vec<u8>>,
        allowed: AllowedAuth,
        has_password: bool,
    ) -> Self {
        Self { stream, end_point, allowed, has_password, seen: Vec::with_capacity(HEAD_BYTES) }
    }

    fn inspect(&mut self, bytes: &[u8]) -> io::Result<()> {
        let missing = HEAD_BYTES - self.seen.len();
        if missing == 0 {
            return Ok(());
        }
        self.seen.extend(bytes.iter().take(missing));
        match *self.seen.as_slice() {
            [b'R', _, _, _, _, a, b, c, d] => {
                self.check(u32::from_be_bytes([a, b, c, d])).map_err(io::Error::other)
            }
            [] | [b'R' | b'E', ..] => Ok(()),
            _ => Err(io::Error::other(ProtocolError::Unexpected("message during authentication"))),
        }
    }

    fn check(&self, method: u32) -> Result<(), AuthError> {
        let Self { allowed, .. } = self;
        let (is_allowed, method) = match method {
            OK => return allow(allowed.none, "no"),
            CLEARTEXT => (allowed.cleartext, "cleartext password"),
            MD5 => (allowed.md5, "md5"),
            SASL => (allowed.scram, "SCRAM"),
            // The library knows no other and says so.
            _ => return Ok(()),
        };
        allow(is_allowed, method)?;
        if self.has_password { Ok(()) } else { Err(AuthError::PasswordMissing) }
    }
}

fn allow(allowed: bool, method: &'static str) -> Result<(), AuthError> {
    if allowed { Ok(()) } else { Err(AuthError::NotAllowed { method }) }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Guarded<S> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.end_point {
            Some(data) => ChannelBinding::tls_server_end_point(data.clone()),
            None => ChannelBinding::none(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        Poll::Ready(this.inspect(&buffer.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

const HEAD_BYTES: usize = 9;
const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(has_password: bool) -> Guarded<tokio::io::Empty> {
        Guarded::new(tokio::io::empty(), None, AllowedAuth::default(), has_password)
    }

    fn request(method: u32) -> Vec<u8> {
        let length = 8_u32.to_be_bytes();
        [&b"R"[..], &length, &method.to_be_bytes()].concat()
    }

    /// Feeds the bytes in two pieces, cut everywhere.
    fn inspect(bytes: &[u8], has_password: bool) -> Result<(), String> {
        let mut results = (0..=bytes.len()).map(|cut| {
            let mut guard = guarded(has_password);
            let (first, second) = bytes.split_at(cut);
            guard
                .inspect(first)
                .and_then(|()| guard.inspect(second))
                .map_err(|error| error.to_string())
        });
        let first = results.next().unwrap();
        assert!(results.all(|result| result == first));
        first
    }

    #[test]
    fn a_password_is_not_given_in_clear_text_or_as_md5() {
        for (method, name) in [(CLEARTEXT, "cleartext password"), (MD5, "md5")] {
            let refused =
                format!("the server asks for {name} authentication, which is not allowed");
            assert_eq!(inspect(&request(method), true), Err(refused));
        }
        assert_eq!(inspect(&request(SASL), true), Ok(()));
    }

    #[test]
    fn a_missing_password_is_named() {
        let missing = "the server asks for a password, and none is given".to_owned();
        assert_eq!(inspect(&request(SASL), false), Err(missing));
        assert_eq!(inspect(&request(OK), false), Ok(()));
    }

    #[test]
    fn nothing_may_come_before_the_request() {
        let notice = [b"N\0\0\0\x05\0".to_vec(), request(CLEARTEXT)].concat();
        assert!(inspect(&notice, true).is_err());
        assert_eq!(inspect(b"E\0\0\0\x05\0", true), Ok(()));
    }

    #[test]
    fn only_the_first_message_is_looked_at() {
        let mut guard = guarded(true);
        guard.inspect(&request(OK)).unwrap();
        guard.inspect(&request(CLEARTEXT)).unwrap();
    }
}
