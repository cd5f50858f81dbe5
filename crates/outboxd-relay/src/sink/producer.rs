//! One librdkafka producer and the thread that polls it.
//!
//! Every record handed over yields exactly one report, also when the producer dies or is dropped:
//! the poll thread purges what a dead producer holds, and dropping purges the rest.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use outboxd_core::record::Record;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use tokio::task::spawn_blocking;

use super::acks::ReportSender;
use super::client_log::ClientLog;
use super::delivery::{Delivery, PROGRESS, opaque};
use super::settings::{Credentials, Security, SettingsError, TRANSACTIONAL_ID};
use super::verdict::{cause_of_rejection, describe};
use super::{Committed, ProduceError, RefusalCause, SinkError};

pub(super) struct Producer {
    client: Arc<BaseProducer<Delivery>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Of its transactions; `None`: it is not transactional.
    transaction: Option<Transaction>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Transaction {
    Closed,
    Open,
}

impl Producer {
    /// It is transactional if `config` names a transactional id.
    pub(super) fn start(
        config: &ClientConfig,
        security: &Security,
        reports: ReportSender,
        log: ClientLog,
    ) -> Result<Self, SinkError> {
        let credentials = Credentials::new(security.clone(), config.clone());
        let client: BaseProducer<Delivery> = config
            .create_with_context(Delivery::new(reports, log, credentials))
            .map_err(SettingsError::from_client)?;
        let client = Arc::new(client);
        client.context().attach(&client);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&client), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poll_until(&stopped, &polled))
            .map_err(|error| SinkError::Config(format!("cannot start a thread: {error}")))?;
        let transaction = config.get(TRANSACTIONAL_ID).map(|_| Transaction::Closed);
        Ok(Self { client, stop, thread: Some(thread), transaction })
    }

    pub(super) fn send(&mut self, record: &Record<'_>) -> Result<(), ProduceError> {
        let mut message = BaseRecord::with_opaque_to(record.topic, opaque(record.token))
            .partition(record.partition)
            .timestamp(timestamp(record.timestamp_ms)?);
        message.key = record.key;
        message.payload = record.value;
        message.headers = headers(record);
        self.hand_over(message)
    }

    pub(super) fn send_progress(
        &mut self,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ProduceError> {
        let mut message = BaseRecord::with_opaque_to(topic, PROGRESS).partition(0).key(key);
        message.payload = value;
        self.hand_over(message)
    }

    fn hand_over(
        &mut self,
        message: BaseRecord<'_, [u8], [u8], usize>,
    ) -> Result<(), ProduceError> {
        if self.client.context().is_dead() {
            return Err(lost("the producer is dead".to_owned()));
        }
        self.begin()?;
        self.client.send(message).map_err(|(error, _)| rejection(&error))
    }
}

/// Its end.
impl Producer {
    /// Its end was reported: what it holds is given up, and it takes nothing more.
    pub(super) fn condemn(&self) {
        self.client.context().resign();
    }

    /// Brokers that let it in would not let one in that is made now, or the other way round.
    pub(super) fn has_outdated_credentials(&self) -> bool {
        self.client.context().has_outdated_credentials()
    }
}

/// Transactions. librdkafka blocks in all of it but the begin.
impl Producer {
    /// With the first that is sent in it.
    fn begin(&mut self) -> Result<(), ProduceError> {
        if self.transaction == Some(Transaction::Closed) {
            let begun = self.client.begin_transaction();
            begun.map_err(|error| lost(describe(&error)))?;
            self.transaction = Some(Transaction::Open);
        }
        Ok(())
    }

    pub(super) fn fence(&self) -> impl Future<Output = Result<(), KafkaError>> + Send + use<> {
        let client = Arc::clone(&self.client);
        blocking(move || client.init_transactions(FENCE_TIME))
    }

    /// `time_max`: what a request may take.
    pub(super) fn commit(
        &mut self,
        time_max: Duration,
    ) -> impl Future<Output = Result<Committed, KafkaError>> + Send + use<> {
        let client = Arc::clone(&self.client);
        let has_begun = self.transaction.replace(Transaction::Closed) == Some(Transaction::Open);
        blocking(move || {
            if !has_begun {
                return Ok(Committed::default());
            }
            let (since, troubles) = (Instant::now(), client.context().troubles());
            let_go_of_reported(&client);
            client.commit_transaction(COMMIT_TIME)?;
            let is_slow = since.elapsed() >= time_max;
            Ok(Committed { is_doubtful: is_slow || client.context().troubles() != troubles })
        })
    }

    /// Aborts the transaction, if there is one and the brokers can be reached, and ends, which takes a
    /// moment and is not waited for. What is still held is reported.
    pub(super) fn abandon(self) {
        self.client.context().resign();
        thread::spawn(move || {
            if self.transaction == Some(Transaction::Open)
                && let Err(error) = self.client.abort_transaction(ABORT_TIME)
            {
                tracing::debug!(
                    event = "kafka.abort_failed",
                    error = describe(&error),
                    "not aborted"
                );
            }
        });
    }
}

/// librdkafka counts a message until after its report; what it still counts when it is to commit, it
/// waits for in steps of 100 ms.
fn let_go_of_reported(client: &BaseProducer<Delivery>) {
    for _ in 0..LET_GO_LOOKS {
        if client.in_flight_count() == 0 {
            return;
        }
        thread::sleep(LET_GO_PAUSE);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    spawn_blocking(work).await.unwrap_or(Err(KafkaError::Canceled))
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

/// What was to be sent was not.
pub(super) fn lost(error: String) -> ProduceError {
    ProduceError { cause: RefusalCause::ProducerLost { possibly_persisted: false }, error }
}

fn rejection(error: &KafkaError) -> ProduceError {
    ProduceError { cause: cause_of_rejection(error), error: describe(error) }
}

/// How long a stop may take. Deliveries are handled as they come. rdkafka waits whole milliseconds
/// and spins through what is left of the last: the odd part is about what a timer is late by, so
/// that an idle relay does not spin a millisecond per poll.
const POLL_TIME: Duration = Duration::from_micros(200_100);

const LET_GO_LOOKS: u32 = 100;
const LET_GO_PAUSE: Duration = Duration::from_micros(50);
const FENCE_TIME: Duration = Duration::from_secs(30);
/// Longer than a request may take, so that one that was late is seen to the end.
const COMMIT_TIME: Duration = Duration::from_secs(30);
/// What is not aborted by then, the next producer will.
const ABORT_TIME: Duration = Duration::from_secs(5);
const DEAD_IN_FLIGHT_TIME: Duration = Duration::from_secs(5);
