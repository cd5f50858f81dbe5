//! Errors of the sink that end the relay, as its user is told.

use outboxd_core::progress::ProgressError;
use outboxd_core::stop::{Code, Stop};

use super::{SinkError, UNREACHABLE_HINT};

pub(crate) fn unreadable(error: &ProgressError) -> Stop {
    Stop::new(Code::ProgressLost, "the progress topic cannot be read")
        .detail(error.to_string())
        .hint("something else wrote there, or a newer version of outboxd did")
}

pub(crate) fn refused(error: &SinkError) -> Stop {
    let (code, message, hint) = match error {
        SinkError::Transport(_) => {
            (Code::KafkaUnreachable, "Kafka cannot be reached", UNREACHABLE_HINT)
        }
        SinkError::LoginRefused(_) | SinkError::Unauthorized(_) => (
            Code::Permission,
            "Kafka refuses this user",
            "check kafka.security.sasl, and the rights of the Kafka user: it reads, writes, creates \
             and describes its progress topic",
        ),
        SinkError::Config(_) => {
            (Code::Config, "Kafka cannot be used", "see [kafka] and [kafka.security]")
        }
    };
    Stop::new(code, message).detail(error.to_string()).hint(hint)
}

fn code(error: &SinkError) -> Code {
    match error {
        SinkError::LoginRefused(_) | SinkError::Unauthorized(_) => Code::Permission,
        SinkError::Transport(_) | SinkError::Config(_) => Code::Config,
    }
}

pub(crate) fn no_progress(error: &SinkError) -> Stop {
    Stop::new(code(error), "the progress topic cannot be used")
        .detail(error.to_string())
        .hint("let the relay's Kafka user read, write and describe its progress topic")
}

pub(crate) fn no_transactions(error: &SinkError) -> Stop {
    Stop::new(code(error), "Kafka transactions cannot be used").detail(error.to_string()).hint(
        "let the relay's Kafka user write and describe its transactional id; the brokers' \
         transaction.max.timeout.ms has to be above delivery.max_transaction_time + 20s",
    )
}
