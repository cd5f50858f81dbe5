//! What the columns of an outbox table are called.

use super::layout::Field;
use crate::headers;

/// The names of the columns that make an event. The defaults are Debezium's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ColumnNames {
    pub id: String,
    /// Not needed where each row names its topic.
    pub aggregate_type: OptionalColumn,
    pub aggregate_id: OptionalColumn,
    /// Without it there is no header `type`.
    pub event_type: OptionalColumn,
    pub payload: String,
    pub headers: OptionalColumn,
    pub created_at: OptionalColumn,
    /// Names the topic of a row, before any rule.
    pub topic: Option<String>,
    /// Chooses the partition instead of the key.
    pub partition_key: Option<String>,
    /// Sent as header `schema_version`.
    pub schema_version: Option<String>,
    /// Sent as header `content_type`.
    pub content_type: Option<String>,
    /// Further columns, each sent as a header in this order.
    pub extra: Vec<ExtraColumn>,
}

/// A column that a table need not have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OptionalColumn {
    /// Used when the table has it: a default name.
    IfPresent(String),
    /// Asked for by name, so that its absence is an error.
    Named(String),
    /// Not used, even when the table has it.
    Off,
}

/// A column of any type that is sent as a header: as Postgres prints it, `bytea` as its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExtraColumn {
    pub column: String,
    pub header: String,
}

impl Default for ColumnNames {
    fn default() -> Self {
        Self {
            id: "id".to_owned(),
            aggregate_type: OptionalColumn::Named("aggregatetype".to_owned()),
            aggregate_id: OptionalColumn::Named("aggregateid".to_owned()),
            event_type: OptionalColumn::Named("type".to_owned()),
            payload: "payload".to_owned(),
            headers: OptionalColumn::IfPresent("headers".to_owned()),
            created_at: OptionalColumn::IfPresent("created_at".to_owned()),
            topic: None,
            partition_key: None,
            schema_version: None,
            content_type: None,
            extra: Vec::new(),
        }
    }
}

impl ColumnNames {
    /// The names of the headers that mapped columns are sent as.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = &str> {
        let schema_version = self.schema_version.as_ref().map(|_| headers::SCHEMA_VERSION);
        let content_type = self.content_type.as_ref().map(|_| headers::CONTENT_TYPE);
        let extra = self.extra.iter().map(|extra| extra.header.as_str());
        schema_version.into_iter().chain(content_type).chain(extra)
    }

    /// Every column that is to be looked up.
    pub(super) fn wanted(&self) -> impl Iterator<Item = Wanted<'_>> {
        let required = |field, name| Some(Wanted::required(field, name));
        let columns = [
            required(Field::Id, &self.id),
            self.aggregate_type.wanted(Field::AggregateType),
            self.aggregate_id.wanted(Field::AggregateId),
            self.event_type.wanted(Field::EventType),
            required(Field::Payload, &self.payload),
            self.headers.wanted(Field::Headers),
            self.created_at.wanted(Field::CreatedAt),
        ];
        let mapped = [
            (Field::Topic, &self.topic),
            (Field::PartitionKey, &self.partition_key),
            (Field::SchemaVersion, &self.schema_version),
            (Field::ContentType, &self.content_type),
        ];
        let mapped = mapped
            .into_iter()
            .filter_map(|(field, name)| name.as_deref().map(|name| Wanted::required(field, name)));
        columns.into_iter().flatten().chain(mapped)
    }
}

impl OptionalColumn {
    fn wanted(&self, field: Field) -> Option<Wanted<'_>> {
        match self {
            Self::IfPresent(name) => Some(Wanted { field, name, required: false }),
            Self::Named(name) => Some(Wanted::required(field, name)),
            Self::Off => None,
        }
    }
}

/// A column that the mapping asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) field: Field,
    pub(super) name: &'a str,
    pub(super) required: bool,
}

impl<'a> Wanted<'a> {
    fn required(field: Field, name: &'a str) -> Self {
        Self { field, name, required: true }
    }
}
