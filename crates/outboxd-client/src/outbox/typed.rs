//! Events with a type of their own.

use super::error::EncodeError;
use super::event::Event;
use super::payload::Payload;

/// A type of a service that is an event.
///
/// ```
/// use outboxd_client::outbox::{EncodeError, OutboxEvent, Payload};
///
/// #[derive(serde::Serialize)]
/// struct OrderPlaced {
///     order: i64,
///     total: u32,
/// }
///
/// impl OutboxEvent for OrderPlaced {
///     fn aggregate_type(&self) -> &str {
///         "Order"
///     }
///
///     fn aggregate_id(&self) -> Option<String> {
///         Some(self.order.to_string())
///     }
///
///     fn event_type(&self) -> &str {
///         "OrderPlaced"
///     }
///
///     fn encode(&self) -> Result<Payload, EncodeError> {
///         Payload::json(self)
///     }
/// }
/// ```
pub trait OutboxEvent {
    /// What kind of aggregate it is about.
    fn aggregate_type(&self) -> &str;

    /// Which aggregate it is about: the key of the record. `None`: no key, and no order.
    fn aggregate_id(&self) -> Option<String>;

    /// What has happened.
    fn event_type(&self) -> &str;

    /// A topic of its own; see [`Event::topic`].
    fn topic(&self) -> Option<String> {
        None
    }

    /// Headers of the record, names and values; see [`Event::header`].
    fn headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The payload.
    ///
    /// # Errors
    /// When it cannot be encoded. Then it is not appended, and the transaction is aborted.
    fn encode(&self) -> Result<Payload, EncodeError>;

    /// As an event with a new id, to which more can be said, such as what it was caused by.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    fn to_event(&self) -> Result<Event, EncodeError> {
        let event = Event::without_key(self.aggregate_type(), self.event_type());
        Ok(Event {
            aggregate_id: self.aggregate_id(),
            topic: self.topic(),
            headers: self.headers().into_iter().collect(),
            payload: self.encode()?,
            ..event
        })
    }
}

/// What can be appended: an [`Event`], or a reference to an [`OutboxEvent`].
pub trait IntoEvent {
    /// As an event.
    ///
    /// # Errors
    /// When the payload cannot be encoded.
    fn into_event(self) -> Result<Event, EncodeError>;
}

impl IntoEvent for Event {
    fn into_event(self) -> Result<Event, EncodeError> {
        Ok(self)
    }
}

impl<E: OutboxEvent + ?Sized> IntoEvent for &E {
    fn into_event(self) -> Result<Event, EncodeError> {
        self.to_event()
    }
}
