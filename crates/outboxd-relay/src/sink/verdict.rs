//! What an error code says about the record it was given for.

use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::RefusalCause;

/// Why librdkafka did not take a record.
pub(super) fn cause_of_rejection(error: &KafkaError) -> RefusalCause {
    let lost = RefusalCause::ProducerLost { possibly_persisted: false };
    record_fault(error).unwrap_or(lost)
}

/// Why a record that was taken is not delivered.
///
/// Codes that librdkafka retries inside never come out while the time to deliver is unlimited.
/// Whatever is no fault of the record means that the producer has lost it. Then it may have been
/// written: even a record purged from the queue can have come back there from a broken connection,
/// and rdkafka hides the status that librdkafka keeps for it.
pub(super) fn cause_of_failure(error: &KafkaError) -> RefusalCause {
    let lost = RefusalCause::ProducerLost { possibly_persisted: true };
    record_fault(error).unwrap_or(lost)
}

/// rdkafka leaves out the code of a failed request.
pub(super) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// librdkafka's own words for an error.
pub(super) fn describe(error: &KafkaError) -> String {
    code_of(error).map_or_else(|| error.to_string(), |code| code.to_string())
}

fn record_fault(error: &KafkaError) -> Option<RefusalCause> {
    let KafkaError::MessageProduction(code) = error else {
        // The topic's name holds a zero byte: found before anything is sent.
        return Some(RefusalCause::InvalidRecord);
    };
    Some(match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            RefusalCause::TooLarge
        }
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
            RefusalCause::UnknownTopic
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            RefusalCause::Unauthorized
        }
        Code::InvalidTimestamp => RefusalCause::InvalidTimestamp,
        Code::InvalidRecord
        | Code::InvalidTopic
        | Code::InvalidArgument
        | Code::PolicyViolation
        | Code::UnsupportedForMessageFormat => RefusalCause::InvalidRecord,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: Code) -> RefusalCause {
        cause_of_failure(&KafkaError::MessageProduction(code))
    }

    #[test]
    fn faults_of_a_record_are_told_from_a_lost_producer() {
        assert_eq!(cause(Code::MessageSizeTooLarge), RefusalCause::TooLarge);
        assert_eq!(cause(Code::MessageBatchTooLarge), RefusalCause::TooLarge);
        assert_eq!(cause(Code::UnknownPartition), RefusalCause::UnknownTopic);
        assert_eq!(cause(Code::TopicAuthorizationFailed), RefusalCause::Unauthorized);
        assert_eq!(cause(Code::InvalidTimestamp), RefusalCause::InvalidTimestamp);
        assert_eq!(cause(Code::InvalidRecord), RefusalCause::InvalidRecord);
    }

    #[test]
    fn what_a_producer_took_and_lost_may_have_been_written() {
        let lost = |possibly_persisted| RefusalCause::ProducerLost { possibly_persisted };
        for code in [Code::PurgeQueue, Code::PurgeInflight, Code::OutOfOrderSequenceNumber] {
            assert_eq!(cause(code), lost(true));
        }
        let rejected = cause_of_rejection(&KafkaError::MessageProduction(Code::Fatal));
        assert_eq!(rejected, lost(false));
    }
}
