//! What is written, shared by all sinks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outboxd_core::record::{Record, Token};
use outboxd_core::topic::{TopicError, TopicInfo};

use crate::sink::{ProgressEntry, ProgressRead, SinkError};

/// Clones share one state.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    state: Arc<Mutex<State>>,
}

/// A record as it was handed over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemoryRecord {
    pub token: Token,
    pub topic: String,
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: i64,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Result<TopicInfo, TopicError>>,
    records: Vec<MemoryRecord>,
    /// `None`: the topic does not exist.
    progress: Option<Vec<ProgressEntry>>,
    progress_end: i64,
    progress_unreadable: Option<String>,
}

impl MemoryBroker {
    /// No topic but the one for progress.
    pub fn new() -> Self {
        let broker = Self::default();
        broker.state().progress = Some(Vec::new());
        broker
    }

    /// What a look-up of this topic says from now on.
    pub fn set_topic(&self, topic: &str, described: Result<TopicInfo, TopicError>) {
        self.state().topics.insert(topic.to_owned(), described);
    }

    /// A topic with this many partitions and no limits.
    pub fn create_topic(&self, topic: &str, partitions: u32) {
        let info = TopicInfo { partitions, max_message_bytes: None, compacted: false };
        self.set_topic(topic, Ok(info));
    }

    /// Everything written, in the order of acknowledgement.
    pub fn records(&self) -> Vec<MemoryRecord> {
        self.state().records.clone()
    }

    /// Deletes the progress topic with all that is in it.
    pub fn delete_progress(&self) {
        self.state().progress = None;
    }

    /// Reading progress fails from now on with this reason, until told otherwise.
    pub fn set_progress_unreadable(&self, reason: Option<&str>) {
        self.state().progress_unreadable = reason.map(str::to_owned);
    }

    /// Appends to the progress topic, as a foreign relay would. Creates the topic when missing.
    pub fn write_progress(&self, key: &[u8], value: Option<&[u8]>) -> i64 {
        let mut state = self.state();
        let offset = state.progress_end;
        state.progress_end += 1;
        let value = value.map(<[u8]>::to_vec);
        let entry = ProgressEntry { offset, key: key.to_vec(), value };
        state.progress.get_or_insert_default().push(entry);
        offset
    }

    /// The progress topic, compacted as a broker would in time.
    pub fn read_progress(&self) -> Result<ProgressRead, SinkError> {
        let state = self.state();
        if let Some(reason) = &state.progress_unreadable {
            return Err(SinkError::Transport(reason.clone()));
        }
        let Some(entries) = &state.progress else { return Ok(ProgressRead::default()) };
        let last_of_key: BTreeMap<_, _> = entries.iter().map(|entry| (&entry.key, entry)).collect();
        let mut records: Vec<_> = last_of_key.into_values().cloned().collect();
        records.sort_unstable_by_key(|entry| entry.offset);
        Ok(ProgressRead { exists: true, records, high_watermark: state.progress_end })
    }

    pub(super) fn describe(&self, topic: &str) -> Result<TopicInfo, TopicError> {
        self.state().topics.get(topic).cloned().unwrap_or(Err(TopicError::Unknown))
    }

    pub(super) fn write(&self, record: MemoryRecord) {
        self.state().records.push(record);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryRecord {
    pub(super) fn new(record: &Record<'_>) -> Self {
        let header = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
        Self {
            token: record.token,
            topic: record.topic.to_owned(),
            partition: record.partition,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(header).collect(),
            timestamp_ms: record.timestamp_ms,
        }
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(header, _)| header == name)?;
        Some(&found.1)
    }
}
