//! Reads the progress topic.
//!
//! It is read whole, from its first offset to its high watermark, and compacted on the way: of each
//! key only the last record is kept. The topic is small, because the broker compacts it too; where
//! it is late with that, reading takes longer, but nothing of an older acquisition is missed and
//! memory stays bounded by the number of keys. Reading ends by *position*: the last offsets may
//! have been compacted away, or hold transaction markers, which are never handed out.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::client_log::ClientLog;
use super::settings::{KafkaSettings, SettingsError};
use super::topics::{LOOKUP_TIMEOUT, explain};
use super::{ProgressEntry, ProgressRead, SinkError};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Isolation {
    ReadUncommitted,
    /// Leaves out what aborted transactions wrote, and waits for the end of open ones.
    #[cfg_attr(not(test), expect(dead_code, reason = "exactly-once mode is not built yet"))]
    ReadCommitted,
}

/// One reading of one topic.
pub(super) struct ProgressReader {
    pub(super) settings: KafkaSettings,
    pub(super) topic: String,
    pub(super) isolation: Isolation,
    pub(super) log: ClientLog,
}

type Client = BaseConsumer<ClientLog>;

impl ProgressReader {
    pub(super) async fn read(self) -> Result<ProgressRead, SinkError> {
        spawn_blocking(move || self.read_blocking())
            .await
            .map_err(|error| SinkError::Transport(error.to_string()))?
    }

    fn read_blocking(&self) -> Result<ProgressRead, SinkError> {
        let asker = self.client(&self.asker_config()?)?;
        if !self.exists(&asker)? {
            return Ok(ProgressRead::default());
        }
        let watermarks = asker.fetch_watermarks(&self.topic, PARTITION, LOOKUP_TIMEOUT);
        let (low, high) = watermarks.map_err(|error| self.explain(&asker, &error))?;
        let records = if low < high { self.read_range(low, high)? } else { Vec::new() };
        Ok(ProgressRead { exists: true, records, high_watermark: high })
    }

    /// Brokers that have just started deny topics that exist, and to take progress for missing
    /// is grave: only several denials are believed.
    fn exists(&self, asker: &Client) -> Result<bool, SinkError> {
        for attempt in 1..=DENIALS {
            let metadata = asker.fetch_metadata(Some(&self.topic), LOOKUP_TIMEOUT);
            let metadata = metadata.map_err(|error| self.explain(asker, &error))?;
            let found = metadata.topics().iter().find(|found| found.name() == self.topic);
            match found.map(|found| found.error().map(Code::from)) {
                Some(None) => return Ok(true),
                None | Some(Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)) => {}
                Some(Some(code)) => {
                    return Err(self.explain(asker, &KafkaError::MetadataFetch(code)));
                }
            }
            if attempt < DENIALS {
                thread::sleep(DENIAL_PAUSE);
            }
        }
        Ok(false)
    }

    fn read_range(&self, low: i64, high: i64) -> Result<Vec<ProgressEntry>, SinkError> {
        let reader = self.client(&self.reader_config()?)?;
        let mut start = TopicPartitionList::new();
        start
            .add_partition_offset(&self.topic, PARTITION, Offset::Offset(low))
            .and_then(|()| reader.assign(&start))
            .map_err(|error| self.explain(&reader, &error))?;
        let mut last_of_key = HashMap::new();
        let mut heard_at = Instant::now();
        loop {
            match reader.poll(POLL_TIME) {
                Some(Ok(message)) => {
                    heard_at = Instant::now();
                    let end = message.offset() + 1;
                    if end <= high {
                        keep(&mut last_of_key, &message);
                    }
                    if end >= high {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) if self.is_past(&reader, high) => break,
                Some(Err(error)) if is_final(&error) => return Err(self.explain(&reader, &error)),
                // Brokers come and go; the log has it. Trouble with the group is of no concern:
                // it is only named because librdkafka wants a name.
                Some(Err(_)) | None => {
                    if heard_at.elapsed() > SILENCE_MAX {
                        let error = KafkaError::MessageConsumption(Code::OperationTimedOut);
                        return Err(self.explain(&reader, &error));
                    }
                }
            }
        }
        let mut records: Vec<ProgressEntry> = last_of_key.into_values().collect();
        records.sort_unstable_by_key(|record| record.offset);
        Ok(records)
    }

    /// At the end of what may be read: is that the end we want, or is a transaction still open?
    fn is_past(&self, reader: &Client, high: i64) -> bool {
        let watermarks = reader.fetch_watermarks(&self.topic, PARTITION, LOOKUP_TIMEOUT);
        watermarks.is_ok_and(|(_, readable_end)| readable_end >= high)
    }

    /// Asked for its high watermark, a client that reads committed records gets their end, and
    /// that is librdkafka's default.
    fn asker_config(&self) -> Result<ClientConfig, SinkError> {
        let mut config = self.settings.client_config()?;
        config.set("isolation.level", "read_uncommitted");
        Ok(config)
    }

    fn reader_config(&self) -> Result<ClientConfig, SinkError> {
        let mut config = self.settings.client_config()?;
        let isolation = match self.isolation {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        };
        config
            .set("group.id", &self.topic)
            .set("isolation.level", isolation)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            // The end shows by an empty answer: do not let the broker wait for more.
            .set("fetch.wait.max.ms", "10");
        Ok(config)
    }

    fn client(&self, config: &ClientConfig) -> Result<Client, SinkError> {
        let client = config.create_with_context(self.log.clone());
        Ok(client.map_err(SettingsError::from_client)?)
    }

    fn explain(&self, client: &Client, error: &KafkaError) -> SinkError {
        // Lets the reasons that wait in the client's queue through to the log.
        while client.poll(DRAIN_TIME).is_some() {}
        explain(error, &self.log)
    }
}

fn keep(last_of_key: &mut HashMap<Vec<u8>, ProgressEntry>, message: &BorrowedMessage<'_>) {
    let key = message.key().unwrap_or_default().to_vec();
    let value = message.payload().map(<[u8]>::to_vec);
    let entry = ProgressEntry { offset: message.offset(), key: key.clone(), value };
    last_of_key.insert(key, entry);
}

fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
        )
    )
}

const PARTITION: i32 = 0;
const DENIALS: u32 = 3;
const DENIAL_PAUSE: Duration = Duration::from_millis(300);
const POLL_TIME: Duration = Duration::from_millis(100);
const DRAIN_TIME: Duration = Duration::from_millis(20);
/// How long a broker may say nothing in the middle of reading.
const SILENCE_MAX: Duration = Duration::from_secs(15);
