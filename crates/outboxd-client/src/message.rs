//! A message as a consumer received it, whatever client it came by.

use uuid::Uuid;

/// A header of a record. `value` is `None` where Kafka has a null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Option<Vec<u8>>,
}

/// A record as it came from Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// `None`: no key, and no order among such messages.
    pub key: Option<Vec<u8>>,
    /// `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    pub timestamp_ms: Option<i64>,
}

impl Message {
    /// The event id, by which duplicates are told. `None` when there is none, or it is no UUID.
    pub fn id(&self) -> Option<Uuid> {
        self.text("id")?.parse().ok()
    }

    /// The type of the event.
    pub fn event_type(&self) -> Option<&str> {
        self.text("type")
    }

    /// `epoch-commit LSN-ordinal`: rises in commit order among the events of one relay.
    pub fn sequence(&self) -> Option<&str> {
        self.text("sequence")
    }

    /// Published again from the table, out of its order: told by its id, never by its sequence.
    pub fn is_replay(&self) -> bool {
        self.text("outboxd-replay") == Some("true")
    }

    /// The last header of a name, as bytes.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let header = self.headers.iter().rev().find(|header| header.name == name)?;
        header.value.as_deref()
    }

    /// The last header of a name, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header(name)?).ok()
    }
}
