//! Taking bytes apart in order, with a typed error for everything that does not fit.
//!
//! Every read takes the name of what is being read, for the error. A read that fails takes
//! nothing further apart: the caller gives up.

use crate::lsn::Lsn;
use crate::time::PgTimestamp;

/// Why bytes from the server are not what the protocol says. None of these is worth a retry.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    #[error("{what} is cut off: {need} bytes needed, {have} left")]
    Short { what: &'static str, need: usize, have: usize },
    #[error("unknown {what}: {found:#04x}")]
    Unknown { what: &'static str, found: u8 },
    #[error("negative {what}: {found}")]
    Negative { what: &'static str, found: i32 },
    #[error("{what} has no end mark")]
    Unterminated { what: &'static str },
    #[error("{what} is not UTF-8")]
    NotUtf8 { what: &'static str },
    #[error("{left} bytes after the end of {what}")]
    Leftover { what: &'static str, left: usize },
}

/// The bytes that are still to be read. Always a suffix of what it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads one thing that must fill these bytes to the end.
    pub(crate) fn whole<T>(
        mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let value = read(&mut self)?;
        match self.rest.len() {
            0 => Ok(value),
            left => Err(DecodeError::Leftover { what, left }),
        }
    }

    /// The bytes that `walk` reads.
    pub(crate) fn span(
        &mut self,
        walk: impl FnOnce(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<&'a [u8], DecodeError> {
        let before = self.rest;
        walk(self)?;
        // `rest` only ever loses bytes at its front, so it is not longer than it was.
        Ok(&before[..before.len() - self.rest.len()])
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array(what).map(|[byte]| byte)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        self.flags(what, 1).map(|bits| bits == 1)
    }

    /// A byte with no other bits than those of `known`.
    pub(crate) fn flags(&mut self, what: &'static str, known: u8) -> Result<u8, DecodeError> {
        match self.byte(what)? {
            bits if bits & !known == 0 => Ok(bits),
            found => Err(DecodeError::Unknown { what, found }),
        }
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.array(what).map(i32::from_be_bytes)
    }

    pub(crate) fn lsn(&mut self, what: &'static str) -> Result<Lsn, DecodeError> {
        self.array(what).map(|bytes| Lsn::new(u64::from_be_bytes(bytes)))
    }

    pub(crate) fn timestamp(&mut self, what: &'static str) -> Result<PgTimestamp, DecodeError> {
        self.array(what).map(|bytes| PgTimestamp::from_micros(i64::from_be_bytes(bytes)))
    }

    /// A count of 16 bits, which the protocol signs.
    pub(crate) fn short_count(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        let found = self.array(what).map(i16::from_be_bytes)?;
        u16::try_from(found).map_err(|_| DecodeError::Negative { what, found: found.into() })
    }

    /// A count or length of 32 bits, which the protocol signs.
    pub(crate) fn count(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let found = self.i32(what)?;
        u32::try_from(found).map_err(|_| DecodeError::Negative { what, found })
    }

    /// Bytes behind their length.
    pub(crate) fn counted(
        &mut self,
        length: &'static str,
        what: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let need = self.count(length)? as usize;
        let short = DecodeError::Short { what, need, have: self.rest.len() };
        let (taken, rest) = self.rest.split_at_checked(need).ok_or(short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Text that ends with a zero byte.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or(DecodeError::Unterminated { what })?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        str::from_utf8(text).map_err(|_| DecodeError::NotUtf8 { what })
    }

    /// Everything that is left.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let short = DecodeError::Short { what, need: N, have: self.rest.len() };
        let (array, rest) = self.rest.split_first_chunk().ok_or(short)?;
        self.rest = rest;
        Ok(*array)
    }
}
