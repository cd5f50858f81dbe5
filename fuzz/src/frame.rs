//! One CopyData: the frame, the message in it, and the record that a row of it becomes.
//!
//! The decoders refuse whatever the encoder would not have written, so what decodes must encode to
//! the very same bytes.

use outboxd_core::encode;
use outboxd_core::lsn::Lsn;
use outboxd_core::mapping::{MapError, Mapped, Written};
use outboxd_core::pgoutput::{Insert, LogicalMessage, Message, Relation};
use outboxd_core::record::Identity;
use outboxd_core::time::PgTimestamp;
use outboxd_core::wire::{Frame, StatusUpdate};

use crate::outbox;

pub fn run(bytes: &[u8]) {
    if let Ok(status) = StatusUpdate::decode(bytes) {
        assert_eq!(status.encode(), bytes);
    }
    let Ok(frame) = Frame::decode(bytes) else { return };
    assert_eq!(encode::frame(&frame), bytes);
    let Frame::XLogData { body, .. } = frame else { return };
    let _ = Insert::decode_prefix(body);
    if let Ok(message) = LogicalMessage::decode_prefix(body) {
        outbox::mapper().describe_message_prefix(&message);
    }
    let Ok(message) = Message::decode(body) else { return };
    assert_eq!(encode::message(&message), body);
    match message {
        Message::Relation(relation) => announce(&relation),
        Message::Insert(insert) => map(body, insert),
        Message::Message(message) => map_message(body, message),
        _ => {}
    }
}

/// Any table may turn out to be the outbox.
fn announce(relation: &Relation<'_>) {
    let mut mapper = outbox::mapper_of(relation.namespace, relation.name);
    if mapper.announce(relation).is_ok() {
        // The former layout is looked at when the same table is announced again.
        mapper.announce(relation).expect("what was taken once is taken again");
    }
}

fn map(body: &[u8], insert: Insert<'_>) {
    let (relation, leading) = Insert::decode_prefix(body).expect("a whole row is its own prefix");
    assert_eq!(relation, insert.relation);
    assert!(leading.iter().copied().eq(insert.new.cells()));

    let mut mapper = outbox::mapper();
    mapper.announce(&outbox::events(insert.relation)).expect("the table that is mapped");
    mapper.describe_prefix(relation, &leading).expect("a table that was announced");
    if let Ok(Some(mapped)) = mapper.map(Written::Row(insert), AT, 1, PgTimestamp::default()) {
        check(&mapped);
    }
}

fn map_message(body: &[u8], message: LogicalMessage<'_>) {
    let prefix = LogicalMessage::decode_prefix(body).expect("a whole message is its own prefix");
    assert_eq!(prefix, message);
    let mut mapper = outbox::mapper();
    match mapper.map(Written::Message(message), AT, 1, PgTimestamp::default()) {
        Ok(Some(mapped)) => check(&mapped),
        Ok(None) => assert_ne!(message.prefix, outbox::PREFIX),
        Err(error) => assert!(matches!(error, MapError::Record(_)), "{error}"),
    }
}

fn check(mapped: &Mapped<'_>) {
    for partitions in [1_u32, 3, 64] {
        let partition = u32::try_from(mapped.partition(partitions));
        assert!(partition.is_ok_and(|partition| partition < partitions));
    }
    assert!(mapped.timestamp_ms >= 0);
    let headers = mapped.headers;
    assert_eq!(headers.iter().count(), headers.len());
    assert!(headers.iter().all(|(name, _)| !name.contains('\0')));
    assert_eq!(headers.iter().next(), Some(("id", mapped.event_id.as_bytes())));
}

const AT: Identity = Identity { commit_lsn: Lsn::new(0x1000), ordinal: 0 };
