//! From an inserted row to a Kafka record: the one entry to everything between decoding and
//! sending.
//!
//! [`Mapper::map`] is a function of the announced tables and the row alone. It runs once per event,
//! so what it builds is laid out in buffers that are kept from row to row; what it returns borrows
//! from them and from the frame.

mod error;
mod messages;
mod scratch;
#[cfg(test)]
mod tests;

pub use error::{MapError, MappingConfigError};
use messages::Messages;
use scratch::Scratch;

use crate::event::{ColumnError, Event, Row};
use crate::headers::{Dropped, HeaderChoice, HeaderRules, Sequence};
use crate::murmur2;
use crate::pgoutput::{Cell, Insert, LogicalMessage, Relation, RelationId};
use crate::record::{Headers, Identity, Record, Token, TopicId};
use crate::relation::{ColumnNames, ContractError, Field, Layout, Relations, TableName};
use crate::route::{RouteInput, Router, TopicRules};
use crate::stop::{RecordError, RecordErrorKind};
use crate::time::PgTimestamp;
use crate::timestamp::{self, TimestampError};

/// How rows become records, as configured.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MappingConfig {
    pub tables: Vec<TableName>,
    /// Logical messages with this prefix are rows as well.
    pub messages_prefix: Option<String>,
    pub columns: ColumnNames,
    pub topics: TopicRules,
    pub headers: HeaderChoice,
}

/// Maps the rows of one stream after another.
#[derive(Clone, Debug)]
pub struct Mapper {
    relations: Relations,
    messages: Option<Messages>,
    rules: RecordRules,
    scratch: Scratch,
}

/// What a row becomes, whatever it was read from.
#[derive(Clone, Debug)]
struct RecordRules {
    router: Router,
    headers: HeaderRules,
}

/// What a transaction brings that can be an event.
#[derive(Clone, Copy, Debug)]
pub enum Written<'a> {
    Row(Insert<'a>),
    Message(LogicalMessage<'a>),
}

/// What a record is made of; the partition is still to be chosen, by the topic's partition count.
#[derive(Clone, Debug)]
pub struct Mapped<'a> {
    pub event_id: &'a str,
    pub topic: &'a str,
    /// What chooses the partition: a column of its own, else the key.
    pub partition_key: Option<&'a [u8]>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Names of the row's headers that were left out because they are taken. Empty, and then
    /// without allocation, for nearly every row.
    pub dropped_headers: Dropped<'a>,
}

impl<'a> Mapped<'a> {
    /// The record, with a token and a place.
    pub fn record(&self, token: Token, topic_id: TopicId, partition: i32) -> Record<'a> {
        Record {
            token,
            topic_id,
            topic: self.topic,
            partition,
            key: self.key,
            value: self.value,
            headers: self.headers,
            timestamp_ms: self.timestamp_ms,
        }
    }

    /// Why it must not be sent.
    pub fn error(&self, kind: RecordErrorKind, message: String) -> RecordError {
        RecordError {
            kind,
            event_id: Some(self.event_id.to_owned()),
            topic: Some(self.topic.to_owned()),
            key: self.key.map(<[u8]>::to_vec),
            message,
        }
    }

    /// The partition of the record in a topic with so many of them.
    pub fn partition(&self, partitions: u32) -> i32 {
        murmur2::partition(self.partition_key, self.event_id.as_bytes(), partitions)
    }
}

impl Mapper {
    pub fn new(config: MappingConfig) -> Result<Self, MappingConfigError> {
        error::check(&config)?;
        let headers = HeaderRules::new(config.headers, &config.columns);
        let router = Router::new(config.topics)?;
        let messages = config.messages_prefix.map(|prefix| Messages::new(prefix, &config.columns));
        let relations = Relations::new(config.tables, config.columns);
        let rules = RecordRules { router, headers };
        Ok(Self { relations, messages, rules, scratch: Scratch::default() })
    }

    /// Forgets every announcement, at the start of a stream.
    pub fn reset(&mut self) {
        self.relations.reset();
    }

    pub fn announce(&mut self, relation: &Relation<'_>) -> Result<(), ContractError> {
        self.relations.announce(relation)
    }

    /// Whether messages with this prefix are events.
    pub fn reads_messages(&self, prefix: &str) -> bool {
        self.messages.as_ref().is_some_and(|messages| messages.prefix() == prefix)
    }

    /// Maps a row; `None` when its table is not configured as an outbox, or the prefix not as ours.
    pub fn map<'a>(
        &'a mut self,
        written: Written<'a>,
        at: Identity,
        epoch: u16,
        commit_time: PgTimestamp,
    ) -> Result<Option<Mapped<'a>>, MapError> {
        let sequence = Sequence { epoch, at };
        match written {
            Written::Row(insert) => {
                self.map_cells(insert.relation, &insert.new.cells(), sequence, commit_time)
            }
            Written::Message(message) => self.map_message(message, sequence, commit_time),
        }
    }

    /// Names a row that was too large to be kept, by its leading cells; `None` when its table is
    /// not configured as an outbox.
    pub fn describe_prefix(
        &self,
        relation: RelationId,
        cells: &[Cell<'_>],
    ) -> Result<Option<RecordError>, MapError> {
        let Some(layout) = self.relations.lookup(relation)? else { return Ok(None) };
        let row = Row::read_leading(layout, cells);
        let mut scratch = String::new();
        let is_read = |position| position < cells.len();
        let topic = leading_route_input(layout, &row, is_read)
            .and_then(|input| self.rules.router.route(input, &mut scratch).ok());
        let message = format!("a row of {} is larger than max_row_bytes", layout.table());
        Ok(Some(row.error(RecordErrorKind::RecordTooLarge, topic, message)))
    }

    /// As [`Self::describe_prefix`], for a message; its content was cut off.
    pub fn describe_message_prefix(&mut self, message: &LogicalMessage<'_>) -> Option<RecordError> {
        let messages = self.messages.as_mut().filter(|it| it.prefix() == message.prefix)?;
        Some(messages.describe(message.content, &self.rules.router))
    }

    fn map_cells<'a>(
        &'a mut self,
        relation: RelationId,
        cells: &(impl Iterator<Item = Cell<'a>> + Clone),
        sequence: Sequence,
        commit_time: PgTimestamp,
    ) -> Result<Option<Mapped<'a>>, MapError> {
        let Some(layout) = self.relations.lookup(relation)? else { return Ok(None) };
        let scratch = self.scratch.trimmed();
        self.rules.map(layout, cells, sequence, commit_time, scratch).map(Some)
    }

    fn map_message<'a>(
        &'a mut self,
        message: LogicalMessage<'a>,
        sequence: Sequence,
        commit_time: PgTimestamp,
    ) -> Result<Option<Mapped<'a>>, MapError> {
        let Some(messages) = self.messages.as_mut().filter(|it| it.prefix() == message.prefix)
        else {
            return Ok(None);
        };
        let (layout, values) = messages.read(message.content)?;
        let scratch = self.scratch.trimmed();
        self.rules.map(layout, &values.cells(), sequence, commit_time, scratch).map(Some)
    }
}

impl RecordRules {
    fn map<'a>(
        &'a self,
        layout: &'a Layout,
        cells: &(impl Iterator<Item = Cell<'a>> + Clone),
        sequence: Sequence,
        commit_time: PgTimestamp,
        scratch: &'a mut Scratch,
    ) -> Result<Mapped<'a>, MapError> {
        let Scratch { payload, topic, headers } = scratch;
        let row = Row::read(layout, cells.clone())?;
        let event = Event::read(layout, &row, payload)
            .map_err(|error| row.error(RecordErrorKind::InvalidRecord, None, error))?;
        let topic = self.router.route(route_input(&event), topic).map_err(|error| {
            let topic = Some(error.topic.as_str()).filter(|topic| !topic.is_empty());
            row.error(RecordErrorKind::InvalidTopic, topic, &error)
        })?;
        let timestamp_ms = timestamp_ms(layout, &event, commit_time)
            .map_err(|error| row.error(RecordErrorKind::InvalidTimestamp, Some(topic), error))?;
        let dropped_headers = self
            .headers
            .write(&event, sequence, layout, cells, headers)
            .map_err(|error| row.error(RecordErrorKind::InvalidHeaders, Some(topic), error))?;
        Ok(Mapped {
            event_id: event.id,
            topic,
            partition_key: event.partition_key.or(event.aggregate_id),
            key: event.aggregate_id,
            value: event.payload,
            headers: headers.as_headers(),
            timestamp_ms,
            dropped_headers,
        })
    }
}

fn route_input<'a>(event: &Event<'a>) -> RouteInput<'a> {
    RouteInput {
        topic: event.topic,
        aggregate_type: event.aggregate_type,
        event_type: event.event_type,
    }
}

/// `None` when a column that the topic may depend on was not read, or is not readable: rather no
/// topic than a wrong one.
fn leading_route_input<'a>(
    layout: &Layout,
    row: &Row<'a>,
    is_read: impl Fn(usize) -> bool,
) -> Option<RouteInput<'a>> {
    let is_known = |field| layout.position(field).is_none_or(&is_read);
    if ![Field::Topic, Field::AggregateType, Field::EventType].into_iter().all(is_known) {
        return None;
    }
    Some(RouteInput {
        topic: row.text(Field::Topic).ok()?,
        aggregate_type: row.text(Field::AggregateType).ok()?,
        event_type: row.text(Field::EventType).ok()?,
    })
}

/// When the event was created; without such a column, when it was committed.
fn timestamp_ms(
    layout: &Layout,
    event: &Event<'_>,
    commit_time: PgTimestamp,
) -> Result<i64, ColumnError<TimestampError>> {
    // A server whose clock is that wrong is no fault of the event.
    let Some(text) = event.created_at else { return Ok(commit_time.unix_millis().max(0)) };
    timestamp::unix_millis(text).map_err(|reason| ColumnError {
        column: layout.column_name(Field::CreatedAt).to_owned(),
        reason,
    })
}
