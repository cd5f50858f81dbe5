//! Finds events that were published and that this database does not have.
//!
//! Since the switch nothing of this database was published, so they stand at the end of each
//! partition: it is read from its end back until a record from before the switch is met.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboxd_core::headers::Sequence;
use outboxd_core::repair::Phantoms;
use outboxd_core::stop::Stop;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::sink::reading::{header, is_final};
use crate::sink::settings::KafkaSettings;

/// An event that never happened, as far as this database is concerned.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Phantom {
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub sequence: String,
    pub timestamp_ms: Option<i64>,
}

/// What the topics hold.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Found {
    pub events: Vec<Phantom>,
    /// More of them, which are not listed.
    pub unlisted: u64,
    /// Topics that could not be searched, and why.
    pub unsearched: BTreeMap<String, String>,
}

/// Reads the topics. One that may not be read, or is gone, is named.
pub(super) async fn find(
    settings: KafkaSettings,
    group: String,
    topics: Vec<String>,
    phantoms: Phantoms,
) -> Result<Found, Stop> {
    let searched = spawn_blocking(move || search(&settings, &group, topics, phantoms)).await;
    let failed = |error: &dyn std::error::Error| {
        Stop::new(outboxd_core::stop::Code::Internal, "the topics cannot be searched")
            .detail(crate::error_chain(error))
    };
    searched.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

impl Found {
    pub(super) fn first_ms(&self) -> Option<i64> {
        self.events.iter().filter_map(|event| event.timestamp_ms).min()
    }

    fn add(&mut self, events: Vec<Phantom>) {
        for event in events {
            if self.events.len() < LISTED_MAX {
                self.events.push(event);
            } else {
                self.unlisted += 1;
            }
        }
    }
}

fn search(
    settings: &KafkaSettings,
    group: &str,
    topics: Vec<String>,
    phantoms: Phantoms,
) -> Result<Found, KafkaError> {
    let mut config =
        settings.client_config().map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
    config
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
        .set("group.id", group)
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = config.create()?;
    let mut found = Found::default();
    for topic in topics {
        if let Err(error) = search_topic(&consumer, &topic, phantoms, &mut found) {
            found.unsearched.insert(topic, error.to_string());
        }
    }
    Ok(found)
}

fn search_topic(
    consumer: &BaseConsumer,
    topic: &str,
    phantoms: Phantoms,
    found: &mut Found,
) -> Result<(), KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), CALL)?;
    let Some(described) = metadata.topics().iter().find(|it| it.name() == topic) else {
        return Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition));
    };
    if let Some(error) = described.error() {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    for partition in described.partitions() {
        let tail = Tail { consumer, topic, partition: partition.id() };
        found.add(tail.search(phantoms)?);
    }
    Ok(())
}

struct Tail<'a> {
    consumer: &'a BaseConsumer,
    topic: &'a str,
    partition: i32,
}

impl Tail<'_> {
    fn search(&self, phantoms: Phantoms) -> Result<Vec<Phantom>, KafkaError> {
        let (low, high) = self.consumer.fetch_watermarks(self.topic, self.partition, CALL)?;
        let mut span = FIRST_SPAN;
        loop {
            let start = high.saturating_sub(span).max(low);
            let (events, is_complete) = self.read(start, high, phantoms)?;
            if is_complete || start == low {
                return Ok(events);
            }
            span = span.saturating_mul(4);
        }
    }

    /// The phantoms of a range, and whether a record from before the switch stands in it.
    fn read(
        &self,
        start: i64,
        high: i64,
        phantoms: Phantoms,
    ) -> Result<(Vec<Phantom>, bool), KafkaError> {
        let (mut events, mut is_complete) = (Vec::new(), false);
        if start >= high {
            return Ok((events, true));
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(self.topic, self.partition, Offset::Offset(start))?;
        self.consumer.assign(&assignment)?;
        let mut heard_at = Instant::now();
        loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    heard_at = Instant::now();
                    if let Some(sequence) = sequence(&message) {
                        is_complete |= phantoms.follow(sequence);
                        if phantoms.contain(sequence) && message.offset() < high {
                            events.push(phantom(&message, sequence));
                        }
                    }
                    if message.offset() + 1 >= high {
                        break;
                    }
                }
                // Markers of transactions may stand at the end.
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) if is_final(&error) => return Err(error),
                Some(Err(_)) | None if heard_at.elapsed() < SILENCE_MAX => {}
                Some(Err(error)) => return Err(error),
                None => return Err(KafkaError::MessageConsumption(Code::OperationTimedOut)),
            }
        }
        self.consumer.unassign()?;
        Ok((events, is_complete))
    }
}

/// That of the stream: what was published again has none that counts.
fn sequence(message: &BorrowedMessage<'_>) -> Option<Sequence> {
    header(message, "sequence")?.parse().ok()
}

fn phantom(message: &BorrowedMessage<'_>, sequence: Sequence) -> Phantom {
    Phantom {
        event_id: header(message, "id"),
        event_type: header(message, "type"),
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        sequence: sequence.to_string(),
        timestamp_ms: message.timestamp().to_millis(),
    }
}

const CALL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
const SILENCE_MAX: Duration = Duration::from_secs(15);
const FIRST_SPAN: i64 = 1_000;
const LISTED_MAX: usize = 10_000;
