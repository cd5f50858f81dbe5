//! One librdkafka producer and the thread that polls it.
//!
//! Every record handed over yields exactly one report, also when the producer dies or is dropped:
//! the poll thread purges what a dead producer holds, and dropping purges the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use outboxd_core::record::Record;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};

use super::acks::ReportSender;
use super::client_log::ClientLog;
use super::delivery::{Delivery, PROGRESS, opaque};
use super::settings::SettingsError;
use super::verdict::{cause_of_rejection, describe};
use super::{ProduceError, RefusalCause, SinkError};

pub(super) struct Producer {
    client: Arc<BaseProducer<Delivery>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    pub(super) fn start(
        config: &ClientConfig,
        reports: ReportSender,
        log: ClientLog,
    ) -> Result<Self, SinkError> {
        let client: BaseProducer<Delivery> = config
            .create_with_context(Delivery::new(reports, log))
            .map_err(SettingsError::from_client)?;
        let client = Arc::new(client);
        client.context().attach(&client);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&client), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poll_until(&stopped, &polled))
            .map_err(|error| SinkError::Config(format!("cannot start a thread: {error}")))?;
        Ok(Self { client, stop, thread: Some(thread) })
    }

    pub(super) fn send(&self, record: &Record<'_>) -> Result<(), ProduceError> {
        let mut message = BaseRecord::with_opaque_to(record.topic, opaque(record.token))
            .partition(record.partition)
            .timestamp(timestamp(record.timestamp_ms)?);
        message.key = record.key;
        message.payload = record.value;
        message.headers = headers(record);
        self.client.send::<[u8], [u8]>(message).map_err(|(error, _)| rejection(&error))
    }

    pub(super) fn send_progress(
        &self,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ProduceError> {
        let mut message = BaseRecord::with_opaque_to(topic, PROGRESS).partition(0).key(key);
        message.payload = value;
        self.client.send::<[u8], [u8]>(message).map_err(|(error, _)| rejection(&error))
    }
}

impl Drop for Producer {
    /// Ends the thread before the last owner of the client purges it, so that reports keep coming
    /// from one thread at a time.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(event = "kafka.poll_failed", "the kafka poll thread has panicked");
        }
    }
}

fn poll_until(stop: &AtomicBool, client: &BaseProducer<Delivery>) {
    let mut dead_since = None;
    while !stop.load(Ordering::Acquire) {
        client.poll(POLL_TIME);
        if client.context().is_dead() {
            let since = *dead_since.get_or_insert_with(Instant::now);
            purge_dead(client, since.elapsed());
        }
    }
}

/// A dead producer sends nothing more, but keeps what comes back to its queue from a broken
/// connection. What is under way is given the time of an ordinary answer: an acknowledgement
/// that still arrives is a duplicate less.
fn purge_dead(client: &BaseProducer<Delivery>, dead_for: Duration) {
    client.purge(PurgeConfig::default().queue().non_blocking());
    if dead_for >= DEAD_IN_FLIGHT_TIME {
        client.purge(PurgeConfig::default().inflight().non_blocking());
    }
}

/// librdkafka takes 0 for "now" and brokers take -1 for "none".
fn timestamp(unix_ms: i64) -> Result<i64, ProduceError> {
    match unix_ms {
        0 => Ok(1),
        1.. => Ok(unix_ms),
        _ => Err(ProduceError {
            cause: RefusalCause::InvalidTimestamp,
            error: format!("a record cannot be stamped {unix_ms} ms before 1970"),
        }),
    }
}

fn headers(record: &Record<'_>) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    let add = |headers: OwnedHeaders, (key, value)| {
        headers.insert(Header { key, value: Some::<&[u8]>(value) })
    };
    Some(record.headers.iter().fold(empty, add))
}

fn rejection(error: &KafkaError) -> ProduceError {
    ProduceError { cause: cause_of_rejection(error), error: describe(error) }
}

/// How long a stop may take. Deliveries are handled as they come. rdkafka waits whole milliseconds
/// and spins through what is left of the last: the odd part is about what a timer is late by, so
/// that an idle relay does not spin a millisecond per poll.
const POLL_TIME: Duration = Duration::from_micros(200_100);

const DEAD_IN_FLIGHT_TIME: Duration = Duration::from_secs(5);
