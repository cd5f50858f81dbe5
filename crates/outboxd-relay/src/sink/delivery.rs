//! Turns librdkafka's callbacks into reports.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use outboxd_core::record::Token;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use super::acks::ReportSender;
use super::client_log::{ClientLog, is_login_refused};
use super::reading::header;
use super::settings::Credentials;
use super::verdict::{cause_of_failure, describe};
use super::{Refusal, Report};

/// The context of one producer, called by the thread that polls it.
pub(super) struct Delivery {
    reports: ReportSender,
    log: ClientLog,
    credentials: Credentials,
    /// Its end was reported.
    over: AtomicBool,
    dead: AtomicBool,
    /// Errors that were not fatal: connections and requests that failed.
    troubles: AtomicU64,
    client: OnceLock<Weak<BaseProducer<Self>>>,
}

impl Delivery {
    pub(super) fn new(reports: ReportSender, log: ClientLog, credentials: Credentials) -> Self {
        Self {
            reports,
            log,
            credentials,
            over: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            troubles: AtomicU64::new(0),
            client: OnceLock::new(),
        }
    }

    /// Needed to tell fatal errors from others. To be called once, before the first poll.
    pub(super) fn attach(&self, client: &Arc<BaseProducer<Self>>) {
        let attached = self.client.set(Arc::downgrade(client));
        assert!(attached.is_ok(), "a context belongs to one producer");
    }

    /// Nothing is sent any more, and its end is no news.
    pub(super) fn resign(&self) {
        self.over.store(true, Ordering::Release);
        self.dead.store(true, Ordering::Release);
    }

    pub(super) fn has_outdated_credentials(&self) -> bool {
        self.credentials.are_outdated()
    }

    pub(super) fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Acquire)
    }

    /// There was a fatal error, or it has resigned.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }
}

impl ProducerContext for Delivery {
    /// A token, or [`PROGRESS`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        match result {
            Ok(message) if opaque == PROGRESS => {
                // Unknown when the broker only said that it has the record already.
                let offset = Some(message.offset()).filter(|offset| *offset >= 0);
                self.reports.rare(Report::ProgressAcked { offset });
            }
            Ok(_) => self.reports.acked(token(opaque)),
            Err((error, _)) if opaque == PROGRESS => {
                self.reports.rare(Report::ProgressRefused { error: describe(error) });
            }
            Err((error, message)) => {
                let refusal = refusal(token(opaque), error, message);
                self.reports.rare(Report::Refused(Box::new(refusal)));
            }
        }
    }
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.log.handle_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if !self.is_fatal() {
            self.troubles.fetch_add(1, Ordering::AcqRel);
            self.log.handle_error(&error, reason);
            if is_login_refused(&error) && self.has_outdated_credentials() {
                self.end("Kafka refused the login, and there is another by now");
            }
        // More errors may follow the fatal one, and rdkafka calls twice for each.
        } else {
            self.dead.store(true, Ordering::Release);
            self.end(reason);
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl Delivery {
    /// Reported once. What is still held is given up when the sink has taken the report, so that
    /// nothing handed over behind it overtakes what was given up.
    fn end(&self, reason: &str) {
        if !self.over.swap(true, Ordering::AcqRel) {
            self.reports.rare(Report::Fatal { error: reason.to_owned() });
        }
    }

    /// The code of an error event does not tell: a fatal one comes with the code of its cause.
    fn is_fatal(&self) -> bool {
        // A producer that is being dropped is no longer there, and its end no news.
        let client = self.client.get().and_then(Weak::upgrade);
        client.is_some_and(|client| client.client().fatal_error().is_some())
    }
}

/// How a token rides through librdkafka.
pub(super) fn opaque(token: Token) -> usize {
    let opaque = usize::try_from(token.0).expect("pointers are as wide as tokens");
    assert!(opaque != PROGRESS, "a token is out of range");
    opaque
}

fn token(opaque: usize) -> Token {
    Token(opaque as u64)
}

fn refusal(token: Token, error: &KafkaError, message: &BorrowedMessage<'_>) -> Refusal {
    Refusal {
        token,
        cause: cause_of_failure(error),
        error: describe(error),
        event_id: header(message, "id"),
        topic: message.topic().to_owned(),
        key: message.key().map(<[u8]>::to_vec),
    }
}

/// Marks the delivery of a progress record.
pub(super) const PROGRESS: usize = usize::MAX;

const _: () = assert!(usize::BITS == 64, "a token rides through librdkafka as a pointer");
