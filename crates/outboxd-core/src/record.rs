//! What the core hands to a sink: one record, borrowed from the frame it was read from.

use crate::lsn::Lsn;

/// Numbers the records of one process, in the order they are handed out. It rides through Kafka as
/// the opaque of the message and comes back with its delivery report.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u64);

/// Index of a topic in the table the relay keeps; stable for the life of a process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicId(pub u32);

/// Where an event stands in the write-ahead log: the start of its transaction's commit record, and
/// its place among the Insert and Message frames of that transaction.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    pub commit_lsn: Lsn,
    pub ordinal: u32,
}

/// A record ready to be handed to a sink.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub token: Token,
    pub topic_id: TopicId,
    pub topic: &'a str,
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// Bytes of a record in a batch, before compression; a little too much rather than too little.
pub fn encoded_bytes(key_bytes: usize, value_bytes: usize, headers: Headers<'_>) -> usize {
    RECORD_OVERHEAD + key_bytes + value_bytes + headers.encoded_bytes()
}

/// Name and value pairs laid out in one buffer, so that a record needs no allocation of its own.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    names: &'a str,
    values: &'a [u8],
    ends: &'a [(u32, u32)],
}

impl<'a> Headers<'a> {
    pub const EMPTY: Headers<'static> = Headers { names: "", values: &[], ends: &[] };

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes they take in a record batch, lengths included; a little too much.
    pub fn encoded_bytes(&self) -> usize {
        self.names.len() + self.values.len() + self.len() * HEADER_OVERHEAD
    }

    /// Names and values in the order they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let Headers { names, values, ends } = *self;
        let mut start = (0, 0);
        ends.iter().map(move |&(name_end, value_end)| {
            let end = (name_end as usize, value_end as usize);
            let header = (&names[start.0..end.0], &values[start.1..end.1]);
            start = end;
            header
        })
    }
}

/// Where the headers of one record are laid out; reused from record to record.
#[derive(Clone, Debug, Default)]
pub struct HeaderBuffer {
    names: String,
    values: Vec<u8>,
    ends: Vec<(u32, u32)>,
}

impl HeaderBuffer {
    pub fn clear(&mut self) {
        self.names.clear();
        self.values.clear();
        self.ends.clear();
    }

    /// Gives memory back, but keeps room for so many bytes of names and of values.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.names.shrink_to(bytes);
        self.values.shrink_to(bytes);
        self.ends.shrink_to(bytes / size_of::<(u32, u32)>());
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        let ends = self.ends.capacity() * size_of::<(u32, u32)>();
        self.names.capacity() + self.values.capacity() + ends
    }

    pub fn push(&mut self, name: &str, value: &[u8]) {
        self.push_with(name, |values| values.extend_from_slice(value));
    }

    /// Appends a header whose value is written in place by `write`, which must only append.
    pub fn push_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.names.push_str(name);
        write(&mut self.values);
        let end = |length: usize| u32::try_from(length).expect("headers of one row exceed 4 GiB");
        self.ends.push((end(self.names.len()), end(self.values.len())));
    }

    pub fn as_headers(&self) -> Headers<'_> {
        Headers { names: &self.names, values: &self.values, ends: &self.ends }
    }
}

/// Attributes and lengths of one record, at their longest.
const RECORD_OVERHEAD: usize = 36;
/// The two lengths of a header in a record batch, at their usual longest.
const HEADER_OVERHEAD: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_out_as_they_went_in() {
        let mut buffer = HeaderBuffer::default();
        buffer.push("id", b"42");
        buffer.push("", b"");
        buffer.push("type", b"OrderPlaced");
        let expected: [(&str, &[u8]); 3] = [("id", b"42"), ("", b""), ("type", b"OrderPlaced")];
        assert!(buffer.as_headers().iter().eq(expected));
        buffer.clear();
        assert!(buffer.as_headers().is_empty());
    }
}
