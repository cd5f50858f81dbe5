//! What librdkafka has to say, as log events of ours; and the reason behind its bare error codes.
//!
//! A broker that is away is no fault of the relay and is reported by every connection again and
//! again: at most one warning of a kind per [`WARN_INTERVAL`], with the number of those held back.
//! librdkafka puts no secret into its messages, and no payload.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tracing::{debug, warn};

use super::{LOGIN_HINT, UNREACHABLE_HINT};

/// Shared by the clients of one sink; clones are one log.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientLog {
    state: Arc<Mutex<State>>,
}

/// Why the brokers cannot be used, in librdkafka's words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    Unreachable(String),
    LoginRefused(String),
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<(Instant, Trouble)>,
    unreachable: Warnings,
    refused: Warnings,
}

/// Those of one kind: what is refused is news when it was out of reach a moment ago.
#[derive(Debug, Default)]
struct Warnings {
    last_at: Option<Instant>,
    held_back: u32,
}

impl ClientLog {
    pub(super) fn handle_error(&self, error: &KafkaError, reason: &str) {
        let Some(trouble) = trouble(error, reason) else {
            debug!(event = "kafka.client_error", error = %error, reason);
            return;
        };
        let Some(held_back) = self.record(trouble) else { return };
        if is_login_refused(error) {
            let hint = LOGIN_HINT;
            warn!(
                event = "kafka.login_refused",
                reason, hint, held_back, "Kafka refused the login: trying again"
            );
        } else {
            let hint = UNREACHABLE_HINT;
            warn!(
                event = "kafka.unreachable",
                reason, hint, held_back, "Kafka cannot be reached: trying again"
            );
        }
    }

    /// Errors come as error events too, and settings that only concern the other kind of client
    /// are no news.
    pub(super) fn handle_line(&self, level: Level, facility: &str, line: &str) {
        let repeated = matches!(facility, "FAIL" | "ERROR" | "FATAL" | "CONFWARN");
        if (level as i32) <= (Level::Warning as i32) && !repeated {
            warn!(event = "kafka.client_log", facility, "{line}");
        } else {
            debug!(event = "kafka.client_log", facility, "{line}");
        }
    }

    /// What stood in the way lately.
    pub(super) fn recent_trouble(&self) -> Option<Trouble> {
        let state = self.state();
        let (at, trouble) = state.trouble.as_ref()?;
        (at.elapsed() < TROUBLE_LIFETIME).then(|| trouble.clone())
    }

    /// Remembers it. Says whether it should be logged, with the number held back before.
    fn record(&self, trouble: Trouble) -> Option<u32> {
        let now = Instant::now();
        let mut state = self.state();
        let warnings = match &trouble {
            Trouble::Unreachable(_) => &mut state.unreachable,
            Trouble::LoginRefused(_) => &mut state.refused,
        };
        let held_back = warnings.next(now);
        state.trouble = Some((now, trouble));
        held_back
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here is left half changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Warnings {
    fn next(&mut self, now: Instant) -> Option<u32> {
        if self.last_at.is_some_and(|at| now.duration_since(at) < WARN_INTERVAL) {
            self.held_back += 1;
            return None;
        }
        self.last_at = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

/// The context of clients that only ask or read.
impl ClientContext for ClientLog {
    fn log(&self, level: Level, facility: &str, line: &str) {
        self.handle_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.handle_error(&error, reason);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl ConsumerContext for ClientLog {}

pub(super) fn is_login_refused(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::Authentication | Code::SaslAuthenticationFailed))
}

fn trouble(error: &KafkaError, reason: &str) -> Option<Trouble> {
    let reason = reason.to_owned();
    if is_login_refused(error) {
        return Some(Trouble::LoginRefused(reason));
    }
    match error.rdkafka_error_code()? {
        Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut | Code::SSL => {
            Some(Trouble::Unreachable(reason))
        }
        // `AllBrokersDown` follows the errors that say why, and says less.
        _ => None,
    }
}

const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// Longer than librdkafka waits between two attempts.
const TROUBLE_LIFETIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_kept_and_repetition_is_held_back() {
        let log = ClientLog::default();
        let refused = || Trouble::Unreachable("connection refused".to_owned());
        assert_eq!(log.record(refused()), Some(0));
        assert_eq!(log.record(refused()), None);
        let login_refused = || Trouble::LoginRefused("bad password".to_owned());
        assert_eq!(log.record(login_refused()), Some(0), "of another kind");
        log.handle_error(&KafkaError::Global(Code::Authentication), "bad password");
        log.handle_error(&KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(log.recent_trouble(), Some(login_refused()));
        let state = log.state();
        assert_eq!((state.unreachable.held_back, state.refused.held_back), (1, 1));
    }
}
