//! Reads the progress topic.
//!
//! It is read whole, from its first offset to its high watermark, and compacted on the way: of each
//! key only the last record is kept. The topic is small, because the broker compacts it too; where
//! it is late with that, reading takes longer, but nothing of an older acquisition is missed and
//! memory stays bounded by the number of keys. Reading ends by *position*: the last offsets may
//! have been compacted away, or hold transaction markers, which are never handed out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::client_log::ClientLog;
use super::reading::is_final;
use super::settings::{KafkaSettings, SettingsError};
use super::topics::{LOOKUP_TIMEOUT, explain};
use super::{Extent, ProgressEntry, ProgressRead, SinkError};

/// Reads one topic, from time to time.
pub(super) struct ProgressReader {
    settings: KafkaSettings,
    topic: String,
    log: ClientLog,
    /// Connected ahead of the next reading. A take-over reads twice and is in a hurry; after it
    /// nothing is read for a long time.
    warm: Mutex<Option<Clients>>,
}

struct Clients {
    /// Asks what there is.
    asker: Client,
    reader: Client,
}

type Client = BaseConsumer<ClientLog>;

impl ProgressReader {
    pub(super) fn new(settings: KafkaSettings, topic: String, log: ClientLog) -> Self {
        Self { settings, topic, log, warm: Mutex::new(None) }
    }

    /// Connects to the brokers in the background, so that the next reading need not.
    pub(super) fn warm_up(&self) -> Result<(), SinkError> {
        let clients = self.clients()?;
        self.keep(Some(clients));
        Ok(())
    }

    /// Nothing will be read for a while.
    pub(super) fn cool_down(&self) {
        self.keep(None);
    }

    pub(super) async fn read(self: Arc<Self>, extent: Extent) -> Result<ProgressRead, SinkError> {
        spawn_blocking(move || {
            let warm = self.lock().take();
            let clients = warm.map_or_else(|| self.clients(), Ok)?;
            let read = self.read_with(&clients, extent);
            if read.is_ok() {
                self.keep(Some(clients));
            }
            read
        })
        .await
        .map_err(|error| SinkError::Transport(error.to_string()))?
    }

    fn keep(&self, clients: Option<Clients>) {
        let former = std::mem::replace(&mut *self.lock(), clients);
        // Closing a client takes a moment, for which nobody should wait.
        thread::spawn(move || drop(former));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Clients>> {
        // Nothing is done under the lock that could leave it half done.
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> Result<Clients, SinkError> {
        let asker = self.client(&self.asker_config()?)?;
        let reader = self.client(&self.reader_config()?)?;
        Ok(Clients { asker, reader })
    }

    fn read_with(&self, clients: &Clients, extent: Extent) -> Result<ProgressRead, SinkError> {
        let Clients { asker, reader } = clients;
        if !self.exists(asker)? {
            return Ok(ProgressRead::default());
        }
        let end_is_of = match extent {
            Extent::Readable => reader,
            Extent::Written => asker,
        };
        let watermarks = end_is_of.fetch_watermarks(&self.topic, PARTITION, LOOKUP_TIMEOUT);
        let (low, high) = watermarks.map_err(|error| self.explain(end_is_of, &error))?;
        let records = if low < high { self.read_range(reader, low, high)? } else { Vec::new() };
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

    fn read_range(
        &self,
        reader: &Client,
        low: i64,
        high: i64,
    ) -> Result<Vec<ProgressEntry>, SinkError> {
        let mut start = TopicPartitionList::new();
        start
            .add_partition_offset(&self.topic, PARTITION, Offset::Offset(low))
            .and_then(|()| reader.assign(&start))
            .map_err(|error| self.explain(reader, &error))?;
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
                Some(Err(KafkaError::PartitionEOF(_))) if self.is_past(reader, high) => break,
                Some(Err(error)) if is_final(&error) => return Err(self.explain(reader, &error)),
                // Brokers come and go; the log has it. Trouble with the group is of no concern:
                // it is only named because librdkafka wants a name.
                Some(Err(_)) | None => {
                    if heard_at.elapsed() > SILENCE_MAX {
                        let error = KafkaError::MessageConsumption(Code::OperationTimedOut);
                        return Err(self.explain(reader, &error));
                    }
                    self.wake(reader);
                }
            }
        }
        reader.unassign().map_err(|error| self.explain(reader, &error))?;
        let mut records: Vec<ProgressEntry> = last_of_key.into_values().collect();
        records.sort_unstable_by_key(|record| record.offset);
        Ok(records)
    }

    /// librdkafka does not wake the thread of a broker when a partition is assigned: where it has
    /// just gone to sleep it fetches a second later. A question to the same broker wakes it, and
    /// the answer is of no interest.
    fn wake(&self, reader: &Client) {
        drop(reader.fetch_watermarks(&self.topic, PARTITION, LOOKUP_TIMEOUT));
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
        config
            .set("group.id", &self.topic)
            // What was written without a transaction is committed at once.
            .set("isolation.level", "read_committed")
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

const PARTITION: i32 = 0;
const DENIALS: u32 = 3;
const DENIAL_PAUSE: Duration = Duration::from_millis(300);
const POLL_TIME: Duration = Duration::from_millis(20);
const DRAIN_TIME: Duration = Duration::from_millis(20);
/// How long a broker may say nothing in the middle of reading.
const SILENCE_MAX: Duration = Duration::from_secs(15);
