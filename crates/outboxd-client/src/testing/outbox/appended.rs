//! Events as they stand in an outbox.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::outbox::table::Part;
use crate::outbox::{DatabaseError, EventId, Outbox, OutboxTransaction};

/// An event in an outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Appended {
    /// What consumers tell duplicates by.
    pub id: EventId,
    /// What chooses the topic.
    pub aggregate_type: String,
    /// The key of the record; `None` without one.
    pub aggregate_id: Option<String>,
    /// Header `type`.
    pub event_type: String,
    /// The value. A `jsonb` column prints it in its own way, so compare [`json`](Self::json).
    pub payload: Option<Vec<u8>>,
    /// Further headers, as text.
    pub headers: BTreeMap<String, String>,
    /// A topic of its own.
    pub topic: Option<String>,
    /// What chooses the partition instead of the key.
    pub partition_key: Option<String>,
}

/// All events of an outbox table, by id, as a transaction sees them: its own among them, so that a
/// test need not commit. An outbox that keeps nothing, such as a view, has none to show.
///
/// # Errors
/// When the table cannot be read.
pub async fn appended<T: OutboxTransaction>(
    outbox: &Outbox,
    transaction: &mut T,
) -> Result<Vec<Appended>, DatabaseError> {
    transaction.select(outbox.insert()).await
}

/// The one event of that kind.
///
/// # Panics
/// When there is none, or more than one; with what there is.
#[track_caller]
pub fn assert_appended<'a>(
    events: &'a [Appended],
    aggregate_type: &str,
    aggregate_id: &str,
    event_type: &str,
) -> &'a Appended {
    let is_meant = |event: &&Appended| {
        event.aggregate_type == aggregate_type
            && event.aggregate_id.as_deref() == Some(aggregate_id)
            && event.event_type == event_type
    };
    let found: Vec<_> = events.iter().filter(is_meant).collect();
    let [event] = found[..] else {
        let there: String = events.iter().map(|event| format!("\n  {event}")).collect();
        let count = found.len();
        panic!(
            "{count} events {event_type} of {aggregate_type} {aggregate_id}, expected 1, among:{there}"
        );
    };
    event
}

impl Appended {
    /// Reads a row: each column as text, the payload as it is.
    pub(crate) fn read(parts: &[Part], cells: Vec<Option<Vec<u8>>>) -> Self {
        let mut event = Self {
            id: EventId::from(uuid::Uuid::nil()),
            aggregate_type: String::new(),
            aggregate_id: None,
            event_type: String::new(),
            payload: None,
            headers: BTreeMap::new(),
            topic: None,
            partition_key: None,
        };
        for (part, cell) in parts.iter().zip(cells) {
            if *part == Part::Payload {
                event.payload = cell;
            } else if let Some(cell) = cell {
                event.set(*part, String::from_utf8(cell).expect("Postgres sends UTF-8"));
            }
        }
        event
    }

    fn set(&mut self, part: Part, text: String) {
        match part {
            Part::Id => self.id = text.parse().expect("an event id is a UUID"),
            Part::AggregateType => self.aggregate_type = text,
            Part::AggregateId => self.aggregate_id = Some(text),
            Part::EventType => self.event_type = text,
            Part::Headers => self.headers = headers(&text),
            Part::Topic => self.topic = Some(text),
            Part::PartitionKey => self.partition_key = Some(text),
            Part::Payload => {}
        }
    }

    /// The payload, read as JSON.
    ///
    /// # Panics
    /// When there is none, or it is another JSON than that.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let payload = self.payload.as_deref().unwrap_or_else(|| panic!("no payload: {self}"));
        serde_json::from_slice(payload).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

/// As the relay sends them: strings as they are, null left out, all else as JSON.
fn headers(text: &str) -> BTreeMap<String, String> {
    let values: BTreeMap<String, Value> =
        serde_json::from_str(text).expect("headers are a JSON object");
    let text = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    values.into_iter().filter_map(text).collect()
}

impl fmt::Display for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, aggregate_type, event_type, .. } = self;
        let key = self.aggregate_id.as_deref().unwrap_or("without key");
        write!(f, "{event_type} of {aggregate_type} {key} ({id})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Appended> {
        let cells = |key: &str| {
            let texts = [
                "018f3c1e-7a00-7000-8000-000000000001",
                "Order",
                key,
                "Placed",
                "{\"a\": 1}",
                "{\"n\": 1, \"s\": \"x\", \"z\": null}",
            ];
            texts.map(|text| Some(text.as_bytes().to_vec())).to_vec()
        };
        let parts = [
            Part::Id,
            Part::AggregateType,
            Part::AggregateId,
            Part::EventType,
            Part::Payload,
            Part::Headers,
        ];
        ["1", "2", "2"].map(|key| Appended::read(&parts, cells(key))).to_vec()
    }

    #[test]
    fn finds_the_one_event() {
        let events = events();
        let event = assert_appended(&events, "Order", "1", "Placed");
        assert_eq!(event.json::<BTreeMap<String, i32>>()["a"], 1);
        let headers: Vec<_> = event.headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(headers, [("n", "1"), ("s", "x")]);
    }

    #[test]
    #[should_panic(
        expected = "0 events Paid of Order 1, expected 1, among:\n  Placed of Order 1 (018f"
    )]
    fn says_what_is_there_instead() {
        assert_appended(&events(), "Order", "1", "Paid");
    }

    #[test]
    #[should_panic(expected = "2 events Placed of Order 2, expected 1")]
    fn two_are_not_one() {
        assert_appended(&events(), "Order", "2", "Placed");
    }
}
