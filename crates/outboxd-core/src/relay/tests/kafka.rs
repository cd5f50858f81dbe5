//! A cluster in a few vectors: what was handed to it, what is written, and the progress topic.

use std::collections::{BTreeMap, VecDeque};

use crate::progress::Recorded;
use crate::record::{Record, Token};

#[derive(Default)]
pub(super) struct Kafka {
    /// Handed over, in order, without a report.
    pub(super) in_flight: Vec<Sent>,
    /// Written, in the order of writing.
    pub(super) written: Vec<Sent>,
    pub(super) progress: Vec<Entry>,
    pub(super) progress_in_flight: VecDeque<Entry>,
    /// How many partitions each topic has; 2 when it is not named.
    pub(super) partitions: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sent {
    pub(super) token: Token,
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) is_replay: bool,
}

/// Key and value of a record of the progress topic.
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

impl Kafka {
    pub(super) fn produce(&mut self, record: &Record<'_>) {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        self.in_flight.push(Sent {
            token: record.token,
            topic: record.topic.to_owned(),
            partition: record.partition,
            key: text(record.key),
            value: text(record.value),
            is_replay: record.headers.iter().any(|(name, _)| name == "outboxd-replay"),
        });
    }

    pub(super) fn partitions_of(&self, topic: &str) -> u32 {
        self.partitions.get(topic).copied().unwrap_or(2)
    }

    /// Writes a record that is in flight.
    pub(super) fn write(&mut self, index: usize) -> Token {
        let sent = self.in_flight.remove(index);
        let token = sent.token;
        self.written.push(sent);
        token
    }

    /// Writes the progress record in flight and gives its offset.
    pub(super) fn write_progress(&mut self) -> i64 {
        let entry = self.progress_in_flight.pop_front().expect("a progress record in flight");
        self.progress.push(entry);
        self.high_watermark() - 1
    }

    pub(super) fn high_watermark(&self) -> i64 {
        i64::try_from(self.progress.len()).unwrap()
    }

    pub(super) fn recorded(&self) -> Recorded {
        let entries = (0_i64..).zip(&self.progress);
        Recorded::read(entries.map(|(offset, (key, value))| (offset, &key[..], value.as_deref())))
            .expect("what the relay wrote can be read")
    }
}
