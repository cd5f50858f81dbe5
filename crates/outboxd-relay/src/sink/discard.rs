//! A sink that forgets every record at once, to measure everything else.

use std::collections::VecDeque;
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outboxd_core::record::{Record, Token};
use outboxd_core::topic::{TopicError, TopicInfo};

use super::{Extent, ProduceError, ProgressEntry, ProgressRead, Report, Sink, SinkError};

/// Acknowledges what it is given. Its progress lives as long as it does.
pub struct DiscardSink {
    partitions: u32,
    acked: VecDeque<Token>,
    progress_acked: Option<i64>,
    progress: Vec<ProgressEntry>,
    progress_end: i64,
    counts: Arc<DiscardCounts>,
}

/// What was discarded so far.
#[derive(Debug, Default)]
pub struct DiscardCounts {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl DiscardSink {
    /// Every topic exists, with this many partitions.
    pub fn new(partitions: u32) -> Self {
        Self {
            partitions,
            acked: VecDeque::new(),
            progress_acked: None,
            progress: Vec::new(),
            progress_end: 0,
            counts: Arc::default(),
        }
    }

    pub fn counts(&self) -> Arc<DiscardCounts> {
        Arc::clone(&self.counts)
    }
}

impl DiscardCounts {
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Keys, values and headers.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Sink for DiscardSink {
    fn produce(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        self.acked.push_back(record.token);
        self.counts.records.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(size_of_record(record), Ordering::Relaxed);
        Ok(())
    }

    fn append_progress(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ProduceError> {
        let offset = self.progress_end;
        self.progress.retain(|entry| entry.key != key);
        let value = value.map(<[u8]>::to_vec);
        self.progress.push(ProgressEntry { offset, key: key.to_vec(), value });
        self.progress_end += 1;
        self.progress_acked = Some(offset);
        Ok(())
    }

    fn next_report(&mut self) -> Option<Report> {
        if let Some(token) = self.acked.pop_front() {
            return Some(Report::Acked(token));
        }
        let offset = self.progress_acked.take()?;
        Some(Report::ProgressAcked { offset: Some(offset) })
    }

    /// Reports only come from calls of the one who waits.
    async fn reports_ready(&mut self) {
        if self.acked.is_empty() && self.progress_acked.is_none() {
            future::pending::<()>().await;
        }
    }

    fn describe_topic(
        &self,
        _topic: String,
    ) -> impl Future<Output = Result<TopicInfo, TopicError>> + Send + 'static {
        future::ready(Ok(TopicInfo {
            partitions: self.partitions,
            max_message_bytes: None,
            compacted: false,
        }))
    }

    fn read_progress(
        &self,
        _: Extent,
    ) -> impl Future<Output = Result<ProgressRead, SinkError>> + Send + 'static {
        future::ready(Ok(ProgressRead {
            exists: true,
            records: self.progress.clone(),
            high_watermark: self.progress_end,
        }))
    }

    fn replace_producer(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn size_of_record(record: &Record<'_>) -> u64 {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    (length(record.key) + length(record.value) + headers) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    #[tokio::test]
    async fn acknowledges_and_counts() {
        let mut sink = DiscardSink::new(4);
        sink.produce(&record(7, "orders")).expect("taken");
        sink.append_progress(b"1", Some(b"a")).expect("taken");
        sink.append_progress(b"1", Some(b"b")).expect("taken");
        sink.reports_ready().await;
        assert!(matches!(sink.next_report(), Some(Report::Acked(Token(7)))));
        let progress = sink.next_report();
        assert!(matches!(progress, Some(Report::ProgressAcked { offset: Some(1) })));
        assert!(sink.next_report().is_none());
        assert_eq!((sink.counts().records(), sink.counts().bytes()), (1, 8));
        let read = sink.read_progress(Extent::Written).await.expect("readable");
        assert_eq!(read.high_watermark, 2);
        let values: Vec<_> = read.records.iter().map(|entry| entry.value.as_deref()).collect();
        assert_eq!(values, [Some(b"b".as_slice())]);
    }
}
