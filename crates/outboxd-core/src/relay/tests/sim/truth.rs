//! What was committed: the events that the checker compares everything with.

use crate::lsn::Lsn;

/// Place of an event in the order of commits.
pub(super) type EventId = usize;

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) kind: usize,
    pub(super) key: Option<u64>,
    /// Larger than the topic takes while its limit is set.
    pub(super) is_large: bool,
    /// Written as a logical message, not into the table.
    pub(super) is_message: bool,
    pub(super) commit_lsn: Lsn,
    pub(super) end_lsn: Lsn,
    pub(super) ordinal: u32,
    pub(super) time_us: i64,
    /// The layout that the table had.
    pub(super) layout: u8,
    /// The event before it with the same topic and key.
    pub(super) previous: Option<EventId>,
}

impl Event {
    pub(super) fn key_text(&self) -> Option<String> {
        self.key.map(|key| format!("k{key}"))
    }

    pub(super) fn value(&self, id: EventId) -> String {
        let padding = if self.is_large { LARGE } else { 1 };
        format!("{id}:{:x>padding$}", "")
    }
}

pub(super) fn name(id: EventId) -> String {
    format!("event-{id}")
}

/// The event of a record, by its payload.
pub(super) fn event_of(value: Option<&[u8]>) -> EventId {
    let text = std::str::from_utf8(value.expect("a value")).expect("text");
    text.split_once(':').and_then(|(id, _)| id.parse().ok()).expect("the payload of an event")
}

pub(super) const KINDS: [&str; 2] = ["order", "invoice"];
pub(super) const TOPICS: [&str; 2] = ["outbox.event.order", "outbox.event.invoice"];
pub(super) const PARTITIONS: u32 = 2;
/// A payload that a limited topic does not take, and its limit.
const LARGE: usize = 600;
pub(super) const LIMIT: usize = 500;
