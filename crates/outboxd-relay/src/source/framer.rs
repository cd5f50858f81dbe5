//! Cuts the byte stream of a connection into messages, and queues what is to be sent.
//!
//! The stream runs at hundreds of thousands of CopyData messages a second, so one read takes
//! whatever the socket has, up to [`READ_BYTES`], and a message is a borrow into that buffer: no
//! allocation and no copy for it. Only the incomplete message at the end of a read is moved, once
//! per read.
//!
//! Memory follows bytes received, never lengths announced, and is bounded by [`Limits`]: a control
//! message above its limit is an error, a CopyData above its limit is skimmed.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::{COPY_DATA_TAG, Header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::{ProtocolError, SourceError};
use super::frame::{BackendFrame, parse_control};

/// A connection, read and written by messages. All waiting is cancel safe: what was read or
/// written stays accounted for when the future is dropped.
#[derive(Debug)]
pub struct Framer<S> {
    stream: S,
    limits: Limits,
    input: Vec<u8>,
    /// How much of `input` has been delivered.
    consumed: usize,
    /// Size of the incomplete message at `consumed`, as far as known.
    wanted: usize,
    /// How many bytes of a skimmed message are still to be thrown away.
    skipping: usize,
    output: BytesMut,
}

/// The largest messages that are buffered whole, without their five bytes of header.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub control_bytes: usize,
    pub copy_data_bytes: usize,
}

impl Limits {
    /// For rows of up to `max_row_bytes`; what frames a row comes on top.
    pub fn for_rows(max_row_bytes: usize) -> Self {
        let copy_data_bytes = max_row_bytes.saturating_add(ROW_OVERHEAD_BYTES);
        Self { control_bytes: CONTROL_BYTES, copy_data_bytes }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framer<S> {
    pub fn new(stream: S, limits: Limits) -> Self {
        let output = BytesMut::new();
        Self { stream, limits, input: Vec::new(), consumed: 0, wanted: 0, skipping: 0, output }
    }

    /// Reads once, and sends what is queued meanwhile. Returns how many bytes came.
    pub async fn fill(&mut self) -> Result<usize, SourceError> {
        self.drive(true).await
    }

    /// Sends what is queued and, when `read` is set, returns after reading as [`Self::fill`] does.
    /// With `read` unset it returns 0 once something queued is sent, and otherwise waits for ever:
    /// a reader that has no room still keeps its side of the conversation going.
    pub async fn drive(&mut self, read: bool) -> Result<usize, SourceError> {
        let sending = self.has_unsent();
        poll_fn(|cx| {
            let sent = self.poll_send(cx)?;
            match read {
                true => self.poll_read(cx),
                false if sending && sent.is_ready() => Poll::Ready(Ok(0)),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> Result<(), SourceError> {
        poll_fn(|cx| self.poll_send(cx)).await
    }

    /// Queues what `write` appends. The queue is bounded: a peer that stops reading is an error.
    pub fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<(), SourceError> {
        if self.output.len() > UNSENT_BYTES {
            return Err(SourceError::PeerNotReading);
        }
        write(&mut self.output).map_err(SourceError::NotSendable)
    }

    pub fn has_unsent(&self) -> bool {
        !self.output.is_empty()
    }

    /// The next complete message of what has been read.
    pub fn next_frame(&mut self) -> Result<Option<BackendFrame<'_>>, SourceError> {
        if self.skipping > 0 && !self.skip() {
            return Ok(None);
        }
        let unread = &self.input[self.consumed..];
        let header = Header::parse(unread).map_err(|_| ProtocolError::Length)?;
        let Some(header) = header else {
            self.wanted = 0;
            return Ok(None);
        };
        // The length counts itself, which `Header::parse` has checked.
        let length = usize::try_from(header.len()).unwrap_or_default() - LENGTH_BYTES;
        if header.tag() == COPY_DATA_TAG {
            return Ok(self.next_copy_data(length));
        }
        if length > self.limits.control_bytes {
            return Err(ProtocolError::TooLong { tag: header.tag(), length }.into());
        }
        let Some(body) = self.take(length) else { return Ok(None) };
        let message = &self.input[body.start - HEADER_BYTES..body.end];
        parse_control(message).map(Some).map_err(|error| ProtocolError::Malformed(error).into())
    }

    pub(super) async fn next(&mut self) -> Result<BackendFrame<'static>, SourceError> {
        loop {
            if let Some(frame) = self.next_control()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Like [`Self::next_frame`] where no CopyData can be meant.
    fn next_control(&mut self) -> Result<Option<BackendFrame<'static>>, SourceError> {
        match self.next_frame()? {
            Some(frame) => Ok(Some(frame.into_control()?)),
            None => Ok(None),
        }
    }

    fn next_copy_data(&mut self, length: usize) -> Option<BackendFrame<'_>> {
        if length <= self.limits.copy_data_bytes {
            let body = self.take(length)?;
            return Some(BackendFrame::CopyData(&self.input[body]));
        }
        // A limit below the head is the whole head.
        let head = self.take(length.min(SKIMMED_HEAD_BYTES))?;
        self.skipping = length - head.len();
        Some(BackendFrame::Skimmed { head: &self.input[head], length })
    }

    /// Moves past a header and `length` bytes, if they are there.
    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let start = self.consumed + HEADER_BYTES;
        let end = start + length;
        if self.input.len() < end {
            self.wanted = HEADER_BYTES + length;
            return None;
        }
        self.consumed = end;
        self.wanted = 0;
        Some(start..end)
    }

    /// Whether the skimmed message is over.
    fn skip(&mut self) -> bool {
        let step = self.skipping.min(self.input.len() - self.consumed);
        self.consumed += step;
        self.skipping -= step;
        self.skipping == 0
    }

    /// Reads until the socket has no more or the buffer is full: a TLS record is only 16 KiB.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, SourceError>> {
        self.make_room();
        let before = self.input.len();
        while self.input.len() < self.input.capacity() {
            let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
            let read_before = self.input.len() - before;
            match read {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if read_before == 0 => {
                    return Poll::Ready(Err(SourceError::Closed));
                }
                Poll::Ready(Err(error)) if read_before == 0 => {
                    return Poll::Ready(Err(SourceError::Io(error)));
                }
                Poll::Pending if read_before == 0 => return Poll::Pending,
                // The next read meets the end or the error again.
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(self.input.len() - before))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SourceError>> {
        if self.output.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.output.is_empty() {
            let written = ready!(pin!(self.stream.write(&self.output)).poll(cx));
            match written.map_err(SourceError::Io)? {
                0 => return Poll::Ready(Err(SourceError::Closed)),
                written => self.output.advance(written),
            }
        }
        pin!(self.stream.flush()).poll(cx).map_err(SourceError::Io)
    }

    /// Moves the incomplete message to the front and sees to room behind it. Room for a large
    /// message doubles with what has come of it, so that an announcement alone takes no memory.
    fn make_room(&mut self) {
        if self.skipping > 0 {
            self.skip();
        }
        self.input.drain(..self.consumed);
        self.consumed = 0;
        if self.input.capacity() > KEPT_BYTES && self.input.len() < READ_BYTES {
            self.input.shrink_to(READ_BYTES);
        }
        let room = self.input.capacity() - self.input.len();
        if room < READ_BYTES / 2 {
            let missing = self.wanted.saturating_sub(self.input.len());
            self.input.reserve_exact(missing.min(self.input.len()).max(READ_BYTES));
        }
    }
}

impl BackendFrame<'_> {
    fn into_control(self) -> Result<BackendFrame<'static>, ProtocolError> {
        Ok(match self {
            Self::CopyData(_) | Self::Skimmed { .. } => {
                return Err(ProtocolError::Unexpected("CopyData"));
            }
            Self::CopyBoth => BackendFrame::CopyBoth,
            Self::CopyDone => BackendFrame::CopyDone,
            Self::CommandComplete => BackendFrame::CommandComplete,
            Self::ReadyForQuery => BackendFrame::ReadyForQuery,
            Self::Error(error) => BackendFrame::Error(error),
            Self::Notice(notice) => BackendFrame::Notice(notice),
            Self::ParameterStatus { name, value } => BackendFrame::ParameterStatus { name, value },
            Self::BackendKey { process_id } => BackendFrame::BackendKey { process_id },
            Self::RowDescription(names) => BackendFrame::RowDescription(names),
            Self::DataRow(row) => BackendFrame::DataRow(row),
            Self::EmptyQuery => BackendFrame::EmptyQuery,
            Self::Authentication(request) => BackendFrame::Authentication(request),
        })
    }
}

/// One read, on a connection in full flow.
const READ_BYTES: usize = 256 * 1024;
/// A buffer that grew beyond this for a large row is given back.
const KEPT_BYTES: usize = 4 * 1024 * 1024;
const CONTROL_BYTES: usize = 1024 * 1024;
const ROW_OVERHEAD_BYTES: usize = 4 * 1024;
const SKIMMED_HEAD_BYTES: usize = 64 * 1024;
/// About 1,500 status messages.
const UNSENT_BYTES: usize = 64 * 1024;
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + LENGTH_BYTES;

#[cfg(test)]
#[path = "framer_tests.rs"]
mod tests;
