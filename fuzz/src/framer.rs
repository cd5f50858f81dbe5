//! The byte stream of a connection, as an untrusted server may send it.
//!
//! The first byte says into how large pieces the rest is cut by the network.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::source::error::SourceError;
use crate::source::frame::BackendFrame;
use crate::source::framer::{Framer, Limits};

pub fn run(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let pieces = frames(bytes, usize::from(piece).max(1));
    let whole = frames(bytes, usize::MAX);
    assert_eq!(pieces, whole, "it depends on how the bytes arrive");
}

/// What comes out, in words, until the stream ends or makes no sense.
fn frames(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut framer = Framer::new(Wire { bytes, piece }, LIMITS);
    let mut seen = Vec::new();
    let error = loop {
        match framer.next_frame() {
            Ok(Some(frame)) => seen.push(describe(&frame)),
            Ok(None) => match now(framer.fill()) {
                Ok(read) => assert!(read > 0),
                Err(error) => break error,
            },
            Err(error) => break error,
        }
    };
    seen.push(format!("{error:?}, transient: {}", error.is_transient()));
    seen
}

fn describe(frame: &BackendFrame<'_>) -> String {
    match frame {
        BackendFrame::CopyData(bytes) => assert!(bytes.len() <= LIMITS.copy_data_bytes),
        BackendFrame::Skimmed { head, length } => {
            assert!(*length > LIMITS.copy_data_bytes && head.len() <= *length);
        }
        _ => {}
    }
    format!("{frame:?}")
}

/// The wire never lets anybody wait.
fn now<T>(future: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits although there is something to read"),
    }
}

/// A server that has said all it had to say.
struct Wire<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.bytes.len().min(self.piece).min(into.remaining());
        let (piece, rest) = self.bytes.split_at(length);
        into.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Low, so that short inputs reach them.
const LIMITS: Limits = Limits { control_bytes: 512, copy_data_bytes: 256 };
