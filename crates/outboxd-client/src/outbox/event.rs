//! An event, before it is a row.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::error::EncodeError;
use super::id::EventId;
use super::payload::Payload;
use crate::Message;

/// Something that has happened to an aggregate.
///
/// ```
/// # use outboxd_client::outbox::Event;
/// # fn main() -> Result<(), outboxd_client::outbox::EncodeError> {
/// let event = Event::new("Order", 4711, "OrderPlaced")
///     .json(&serde_json::json!({ "total": 1290, "currency": "EUR" }))?
///     .header("tenant", "acme");
/// assert_eq!(event.aggregate_id(), Some("4711"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub(super) id: EventId,
    pub(super) aggregate_type: String,
    pub(super) aggregate_id: Option<String>,
    pub(super) event_type: String,
    pub(super) payload: Payload,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) topic: Option<String>,
    pub(super) partition_key: Option<String>,
}

impl Event {
    /// An event of one aggregate, with a new id and no payload.
    ///
    /// The aggregate type routes: by default to topic `outbox.event.<aggregate type>`. The aggregate
    /// id becomes the key of the record: events of one aggregate keep their order.
    pub fn new(
        aggregate_type: impl Into<String>,
        aggregate_id: impl fmt::Display,
        event_type: impl Into<String>,
    ) -> Self {
        let event = Self::without_key(aggregate_type, event_type);
        Self { aggregate_id: Some(aggregate_id.to_string()), ..event }
    }

    /// An event of no aggregate in particular: its record has no key, and there is no order among
    /// such events. A compacted topic refuses it.
    pub fn without_key(aggregate_type: impl Into<String>, event_type: impl Into<String>) -> Self {
        Self {
            id: EventId::new(),
            aggregate_type: aggregate_type.into(),
            aggregate_id: None,
            event_type: event_type.into(),
            payload: Payload::none(),
            headers: BTreeMap::new(),
            topic: None,
            partition_key: None,
        }
    }

    /// The payload, as JSON.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`] when serde cannot write the value as JSON, as with a map whose
    /// keys are no strings.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, EncodeError> {
        Ok(self.payload(Payload::json(value)?))
    }

    /// The payload, as it is. Checked when the event is appended: a `jsonb` or `json` column takes
    /// JSON, a `text` column UTF-8, a `bytea` column anything.
    #[must_use]
    pub fn bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.payload(Payload::bytes(bytes))
    }

    /// No payload: the record has a null value, which a compacted topic takes as the deletion of
    /// its key.
    #[must_use]
    pub fn no_payload(self) -> Self {
        self.payload(Payload::none())
    }

    /// A payload that was encoded before.
    #[must_use]
    pub fn payload(self, payload: Payload) -> Self {
        Self { payload, ..self }
    }

    /// Another id than the one it was made with, such as one derived from a request so that the same
    /// request cannot be recorded twice.
    #[must_use]
    pub fn with_id(self, id: impl Into<EventId>) -> Self {
        Self { id: id.into(), ..self }
    }

    /// A header of the record; a later one of the same name wins. Refused at append are the relay's
    /// own names (`id`, `type`, `sequence`, and all that begin with `outboxd-`).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// A topic of its own, instead of the one that its aggregate type routes to. For outboxes with a
    /// topic column; see [`Outbox::columns`](super::Outbox::columns).
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }

    /// What chooses the partition instead of the aggregate id. For outboxes with a column for it.
    #[must_use]
    pub fn partition_key(self, key: impl fmt::Display) -> Self {
        Self { partition_key: Some(key.to_string()), ..self }
    }

    /// Says which message led to this event: header `causationid` is the id of the message, and
    /// `correlationid` that of the message, or its id when it is the first of a chain. A message
    /// without an id has no causation to tell.
    #[must_use]
    pub fn caused_by(mut self, message: &Message) -> Self {
        let cause = message.id().map(|id| id.to_string());
        let correlation = message.text(CORRELATION).map(str::to_owned).or_else(|| cause.clone());
        let headers = [(CORRELATION, correlation), (CAUSATION, cause)];
        let known = headers.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?)));
        self.headers.extend(known);
        self
    }

    /// Its id.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// What kind of aggregate it is about.
    pub fn aggregate_type(&self) -> &str {
        &self.aggregate_type
    }

    /// Which aggregate it is about; `None` without a key.
    pub fn aggregate_id(&self) -> Option<&str> {
        self.aggregate_id.as_deref()
    }

    /// What has happened.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Its headers by name; trace context is added when it is appended.
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }
}

const CORRELATION: &str = "correlationid";
const CAUSATION: &str = "causationid";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

    fn message(headers: &[(&str, &str)]) -> Message {
        let header = |&(name, value): &(&str, &str)| Header {
            name: name.to_owned(),
            value: Some(value.as_bytes().to_vec()),
        };
        Message { headers: headers.iter().map(header).collect(), ..Message::default() }
    }

    fn caused_by(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let event = Event::new("Payment", "p-1", "PaymentMade").caused_by(&message(headers));
        event.headers.into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_first_of_a_chain_correlates_by_its_own_id() {
        assert_eq!(caused_by(&[("id", FIRST)]), [pair(CAUSATION, FIRST), pair(CORRELATION, FIRST)]);
    }

    #[test]
    fn correlation_is_kept_along_a_chain() {
        let headers = [("id", SECOND), (CORRELATION, "c-1"), (CAUSATION, FIRST)];
        assert_eq!(caused_by(&headers), [pair(CAUSATION, SECOND), pair(CORRELATION, "c-1")]);
    }

    #[test]
    fn a_message_without_an_id_has_only_what_it_carries() {
        assert_eq!(caused_by(&[]), []);
        assert_eq!(caused_by(&[(CORRELATION, "c-1")]), [pair(CORRELATION, "c-1")]);
    }

    #[test]
    fn a_payload_does_not_show_in_a_log() {
        let event = Event::new("Order", 1, "Placed").json("secret").unwrap();
        assert!(!format!("{event:?}").contains("secret"), "{event:?}");
        assert!(!format!("{:?}", event.bytes("secret")).contains("secret"));
    }

    const FIRST: &str = "018f3c1e-7a00-7000-8000-000000000001";
    const SECOND: &str = "018f3c1e-7a00-7000-8000-000000000002";
}
