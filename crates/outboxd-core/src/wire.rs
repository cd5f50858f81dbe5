//! The frames inside CopyData of a replication connection: what the server sends ([`Frame`]) and
//! the one answer to it ([`StatusUpdate`]).
//!
//! Decoding copies nothing and trusts nothing: every short, unknown or leftover byte is a
//! [`DecodeError`] that names what was being read. It never panics and never allocates.

mod input;
#[cfg(test)]
mod tests;

use crate::lsn::Lsn;
use crate::time::PgTimestamp;

pub use input::DecodeError;
pub(crate) use input::Input;

/// What the server sends inside one CopyData.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame<'a> {
    /// A piece of the stream. `start` and `end` are zero where the plugin has no position to tell,
    /// as for a relation message.
    XLogData {
        start: Lsn,
        end: Lsn,
        sent: PgTimestamp,
        body: &'a [u8],
    },
    Keepalive {
        wal_end: Lsn,
        sent: PgTimestamp,
        reply_requested: bool,
    },
}

impl<'a> Frame<'a> {
    /// Decodes the content of one CopyData. The body of an `XLogData` has no length of its own, so
    /// the start of a frame that was cut off inside its body decodes too.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        match input.byte("frame kind")? {
            b'w' => input.whole("XLogData", Self::xlog_data),
            b'k' => input.whole("keepalive", Self::keepalive),
            found => Err(DecodeError::Unknown { what: "frame kind", found }),
        }
    }

    fn xlog_data(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self::XLogData {
            start: input.lsn("start of XLogData")?,
            end: input.lsn("end of XLogData")?,
            sent: input.timestamp("time of XLogData")?,
            body: input.remainder(),
        })
    }

    fn keepalive(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        Ok(Self::Keepalive {
            wal_end: input.lsn("WAL end of keepalive")?,
            sent: input.timestamp("time of keepalive")?,
            reply_requested: input.flag("reply request of keepalive")?,
        })
    }
}

/// The standby status update: how far the log was received, and what of it is safe.
///
/// `flush` is the confirmation: the server may forget everything before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusUpdate {
    pub write: Lsn,
    pub flush: Lsn,
    pub apply: Lsn,
    /// The time at the client.
    pub clock: PgTimestamp,
    pub reply_requested: bool,
}

impl StatusUpdate {
    /// The content of a CopyData message.
    pub fn encode(&self) -> [u8; Self::ENCODED_LENGTH] {
        let mut bytes = [0; Self::ENCODED_LENGTH];
        bytes[0] = b'r';
        bytes[1..9].copy_from_slice(&self.write.as_u64().to_be_bytes());
        bytes[9..17].copy_from_slice(&self.flush.as_u64().to_be_bytes());
        bytes[17..25].copy_from_slice(&self.apply.as_u64().to_be_bytes());
        bytes[25..33].copy_from_slice(&self.clock.as_micros().to_be_bytes());
        bytes[33] = u8::from(self.reply_requested);
        bytes
    }

    /// What a server does with it.
    #[cfg(any(test, feature = "encode"))]
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        match input.byte("status kind")? {
            b'r' => input.whole("status update", |input| {
                Ok(Self {
                    write: input.lsn("write position of status update")?,
                    flush: input.lsn("flush position of status update")?,
                    apply: input.lsn("apply position of status update")?,
                    clock: input.timestamp("time of status update")?,
                    reply_requested: input.flag("reply request of status update")?,
                })
            }),
            found => Err(DecodeError::Unknown { what: "status kind", found }),
        }
    }

    const ENCODED_LENGTH: usize = 34;
}
