//! From an event to its row: all that can be known to be wrong with it is found here, by the rules
//! of the relay itself. What passes is not refused later, but for what only Kafka knows: whether the
//! topic exists, and its own limits.

use outboxd_core::headers::{HeaderChoice, HeaderRules, Sequence};
use outboxd_core::lsn::Lsn;
use outboxd_core::record::{self, HeaderBuffer, Identity};
use outboxd_core::route::{RouteInput, Router};
use uuid::Uuid;

use super::error::{AppendError, HeaderReason, KeyReason, TopicReason};
use super::event::Event;
use super::id::EventId;
use super::payload::PayloadType;
use super::table::{KeyType, Part};

/// What an event must keep to.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) router: Router,
    pub(super) headers: HeaderRules,
    pub(super) payload: PayloadType,
    pub(super) key: KeyType,
    pub(super) size_limit: usize,
}

/// A row that can be written.
#[derive(Debug)]
pub struct Row {
    pub id: EventId,
    /// In the order of the columns; the id is apart.
    pub cells: Vec<Cell>,
    /// Bytes of its record.
    pub size: usize,
}

/// A value of a column.
#[derive(Debug)]
pub enum Cell {
    Uuid(Uuid),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Rules {
    pub(super) fn row(&self, parts: &[Part], event: Event) -> Result<Row, AppendError> {
        let has = |part| parts.contains(&part);
        self.check_topic(&event, has(Part::Topic))?;
        self.check_keys(&event, has(Part::PartitionKey))?;
        self.check_headers(&event, has(Part::Headers))?;
        for (part, text) in
            [("aggregate type", &event.aggregate_type), ("event type", &event.event_type)]
        {
            if text.contains('\0') {
                return Err(AppendError::InvalidText { part });
            }
        }
        let around = size_without_value(&event);
        let payload = event.payload.into_column(self.payload)?;
        let (size, limit) = (around + payload.printed, self.size_limit);
        if size > limit {
            return Err(AppendError::TooLarge { size, limit });
        }
        let headers = serde_json::to_string(&event.headers).map_err(super::EncodeError::from)?;
        let mut values = Values {
            id: event.id,
            aggregate_type: event.aggregate_type,
            aggregate_id: event.aggregate_id,
            event_type: event.event_type,
            payload: self.payload_cell(payload.bytes),
            headers,
            topic: event.topic,
            partition_key: event.partition_key,
        };
        let cells = parts.iter().map(|&part| values.take(part)).collect();
        Ok(Row { id: event.id, cells, size })
    }

    fn payload_cell(&self, bytes: Option<Vec<u8>>) -> Cell {
        if self.payload == PayloadType::Bytea {
            return Cell::Bytes(bytes);
        }
        let text =
            bytes.map(|bytes| String::from_utf8(bytes).expect("text columns are given text"));
        Cell::Text(text)
    }

    fn check_topic(&self, event: &Event, has_column: bool) -> Result<(), AppendError> {
        let invalid = |topic: &str, reason| {
            Err(AppendError::InvalidTopic { topic: topic.to_owned(), reason })
        };
        if let Some(topic) = event.topic.as_deref().filter(|_| !has_column) {
            return invalid(topic, TopicReason::NoColumn);
        }
        let input = RouteInput {
            topic: event.topic.as_deref(),
            aggregate_type: Some(&event.aggregate_type),
            event_type: Some(&event.event_type),
        };
        match self.router.route(input, &mut String::new()) {
            Ok(_) => Ok(()),
            Err(error) => invalid(&error.topic, TopicReason::Refused(error.reason)),
        }
    }

    fn check_keys(&self, event: &Event, has_column: bool) -> Result<(), AppendError> {
        let invalid = |part, reason| Err(AppendError::InvalidKey { part, reason });
        let is_nul = |key: &Option<String>| key.as_ref().is_some_and(|key| key.contains('\0'));
        if is_nul(&event.aggregate_id) {
            return invalid(AGGREGATE_ID, KeyReason::Nul);
        }
        if is_nul(&event.partition_key) {
            return invalid(PARTITION_KEY, KeyReason::Nul);
        }
        if event.partition_key.is_some() && !has_column {
            return invalid(PARTITION_KEY, KeyReason::NoColumn);
        }
        match (self.key, event.aggregate_id.as_deref()) {
            (KeyType::Uuid, Some(id)) if Uuid::try_parse(id).is_err() => {
                invalid(AGGREGATE_ID, KeyReason::NotUuid)
            }
            (KeyType::BigInt, Some(id)) if id.parse::<i64>().is_err() => {
                invalid(AGGREGATE_ID, KeyReason::NotBigInt)
            }
            _ => Ok(()),
        }
    }

    fn check_headers(&self, event: &Event, has_column: bool) -> Result<(), AppendError> {
        for (name, value) in &event.headers {
            let invalid = |reason| AppendError::InvalidHeader { name: name.clone(), reason };
            if !has_column {
                return Err(invalid(HeaderReason::NoColumn));
            }
            self.headers.check_name(name).map_err(|reason| invalid(HeaderReason::Name(reason)))?;
            if value.contains('\0') {
                return Err(invalid(HeaderReason::NulValue));
            }
        }
        Ok(())
    }
}

/// Bytes of the record but for its value, with all headers that the relay may add.
fn size_without_value(event: &Event) -> usize {
    let at = Identity { commit_lsn: Lsn::new(0), ordinal: 0 };
    let mut headers = HeaderBuffer::default();
    let id = event.id.to_string();
    HeaderChoice::default().write(
        &id,
        Some(&event.event_type),
        Sequence { epoch: 0, at },
        &mut headers,
    );
    for (name, value) in &event.headers {
        headers.push(name, value.as_bytes());
    }
    let key_bytes = event.aggregate_id.as_ref().map_or(0, String::len);
    record::encoded_bytes(key_bytes, 0, headers.as_headers())
}

/// The parts of an event, each taken once.
struct Values {
    id: EventId,
    aggregate_type: String,
    aggregate_id: Option<String>,
    event_type: String,
    payload: Cell,
    headers: String,
    topic: Option<String>,
    partition_key: Option<String>,
}

impl Values {
    fn take(&mut self, part: Part) -> Cell {
        use std::mem::take;
        match part {
            Part::Id => Cell::Uuid(self.id.as_uuid()),
            Part::AggregateType => Cell::Text(Some(take(&mut self.aggregate_type))),
            Part::AggregateId => Cell::Text(self.aggregate_id.take()),
            Part::EventType => Cell::Text(Some(take(&mut self.event_type))),
            Part::Payload => std::mem::replace(&mut self.payload, Cell::Text(None)),
            Part::Headers => Cell::Text(Some(take(&mut self.headers))),
            Part::Topic => Cell::Text(self.topic.take()),
            Part::PartitionKey => Cell::Text(self.partition_key.take()),
        }
    }
}

const AGGREGATE_ID: &str = "aggregate id";
const PARTITION_KEY: &str = "partition key";
