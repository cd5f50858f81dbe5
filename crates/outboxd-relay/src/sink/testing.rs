//! Records for the tests of sinks.

use outboxd_core::record::{Headers, Record, Token, TopicId};

/// Key `key`, value `value`, no headers, partition 0.
pub(super) fn record(token: u64, topic: &str) -> Record<'_> {
    Record {
        token: Token(token),
        topic_id: TopicId(0),
        topic,
        partition: 0,
        key: Some(b"key"),
        value: Some(b"value"),
        headers: Headers::EMPTY,
        timestamp_ms: 1_700_000_000_000,
    }
}
