//! `[delivery]`: the guarantee, its bounds, and where progress is kept.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use super::byte_size::ByteSize;
use super::section::Section;
use super::setting::Choice;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeliveryConfig {
    pub mode: DeliveryMode,
    pub progress: ProgressConfig,
    pub progress_interval: Duration,
    pub max_in_flight_events: NonZeroU32,
    pub max_in_flight_bytes: ByteSize,
    /// Bounds the duplicates after a kill.
    pub max_unrecorded_events: NonZeroU32,
    pub max_transaction_bytes: ByteSize,
    pub max_transaction_time: Duration,
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProgressConfig {
    pub topic: String,
    pub store: ProgressStore,
    /// `None`: the broker's default.
    pub replication_factor: Option<NonZeroU16>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeliveryMode {
    AtLeastOnce,
    ExactlyOnce,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProgressStore {
    Kafka,
    Slot,
}

impl DeliveryConfig {
    /// `name` is the relay's, when it is known. `None`: without it there is no progress topic.
    pub(super) fn read(mut section: Section<'_>, name: Option<&str>) -> Option<Self> {
        let mode = section.value("mode", DeliveryMode::AtLeastOnce);
        let interval = section.value("progress_interval", PROGRESS_INTERVAL);
        section.at_least("progress_interval", interval, PROGRESS_INTERVAL_MIN);
        let in_flight = section.value("max_in_flight_events", EVENTS_MAX);
        let in_flight_bytes = bytes(&mut section, "max_in_flight_bytes", IN_FLIGHT_BYTES_MAX);
        let unrecorded = section.value("max_unrecorded_events", EVENTS_MAX);
        let transaction = bytes(&mut section, "max_transaction_bytes", TRANSACTION_BYTES_MAX);
        let time = section.value("max_transaction_time", TRANSACTION_TIME_MAX);
        section.at_least("max_transaction_time", time, Duration::from_millis(1));
        let drain_timeout = section.value("drain_timeout", DRAIN_TIMEOUT);
        let progress = ProgressConfig::read(section.section("progress"), name)?;
        Some(Self {
            mode,
            progress,
            progress_interval: interval,
            max_in_flight_events: in_flight,
            max_in_flight_bytes: in_flight_bytes,
            max_unrecorded_events: unrecorded,
            max_transaction_bytes: transaction,
            max_transaction_time: time,
            drain_timeout,
        })
    }
}

impl ProgressConfig {
    fn read(mut section: Section<'_>, name: Option<&str>) -> Option<Self> {
        let derived = name.map(|name| format!("outboxd.progress.{name}"));
        let topic = section.or_derived("topic", derived);
        let store = section.value("store", ProgressStore::Kafka);
        let replication_factor = section.optional("replication_factor");
        let topic = topic?;
        if !is_topic_name(&topic) {
            let text = format!("`delivery.progress.topic` is not a legal topic name: {topic:?}");
            let hint =
                "use letters, digits, `.`, `_` and `-`, 249 at most; it follows `source.name`";
            section.problem("topic", &text, hint);
        }
        Some(Self { topic, store, replication_factor })
    }
}

impl Choice for DeliveryMode {
    const ALL: &'static [(&'static str, Self)] =
        &[("at_least_once", Self::AtLeastOnce), ("exactly_once", Self::ExactlyOnce)];
}

impl Choice for ProgressStore {
    const ALL: &'static [(&'static str, Self)] = &[("kafka", Self::Kafka), ("slot", Self::Slot)];

    fn not_yet(self) -> Option<&'static str> {
        match self {
            Self::Kafka => None,
            Self::Slot => Some("set it to \"kafka\"; slot comes in a later version"),
        }
    }
}

/// A bound of zero bytes would never let anything through.
fn bytes(section: &mut Section<'_>, key: &str, default: ByteSize) -> ByteSize {
    let size = section.value(key, default);
    if size == ByteSize::default() {
        let text = format!("`delivery.{key}` must be more than 0B");
        section.problem(key, &text, &format!("leave it out for the default of {default}"));
    }
    size
}

fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

const EVENTS_MAX: NonZeroU32 = NonZeroU32::new(50_000).unwrap();
const IN_FLIGHT_BYTES_MAX: ByteSize = ByteSize::mebibytes(16);
const TRANSACTION_BYTES_MAX: ByteSize = ByteSize::mebibytes(64);
const TRANSACTION_TIME_MAX: Duration = Duration::from_secs(10);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(1);
