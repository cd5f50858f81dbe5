//! The statements that write a row, as the table's columns demand.

use std::sync::Arc;

use outboxd_core::relation::{ColumnNames, OptionalColumn, TableName};

use super::payload::PayloadType;

/// The type of the column that holds the aggregate id.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyType {
    /// `text` or `varchar`.
    #[default]
    Text,
    /// `uuid`.
    Uuid,
    /// `bigint`.
    BigInt,
}

/// A part of an event that has a column of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    Id,
    AggregateType,
    AggregateId,
    EventType,
    Payload,
    Headers,
    Topic,
    PartitionKey,
}

/// How rows are written. The text of a statement is what drivers remember it by, so it is made once.
#[derive(Clone, Debug)]
pub struct Insert {
    pub parts: Vec<Part>,
    pub payload_is_bytea: bool,
    /// One row.
    pub one: Arc<str>,
    /// Rows from arrays.
    pub all: Arc<str>,
    /// All rows, each column as text but a payload as bytes.
    pub select: Arc<str>,
}

impl Insert {
    pub(super) fn new(
        table: &TableName,
        columns: &ColumnNames,
        payload: PayloadType,
        key: KeyType,
    ) -> Self {
        let columns = in_order(columns);
        let parts: Vec<Part> = columns.iter().map(|(part, _)| *part).collect();
        let types = |part| ColumnType::of(part, payload, key);
        let table = format!("{}.{}", quoted(&table.schema), quoted(&table.table));
        let names = list(columns.iter().map(|(_, name)| quoted(name)));
        let sent = |part| format!("::{}", types(part).sent);
        let values = list(
            parts
                .iter()
                .enumerate()
                .map(|(index, &part)| format!("${}{}{}", index + 1, sent(part), types(part).cast)),
        );
        let arrays = list(
            parts
                .iter()
                .enumerate()
                .map(|(index, &part)| format!("${}{}[]", index + 1, sent(part))),
        );
        let aliases = list((1..=parts.len()).map(|number| format!("c{number}")));
        let selected = list(
            parts
                .iter()
                .enumerate()
                .map(|(index, &part)| format!("c{}{}", index + 1, types(part).cast)),
        );
        let read = list(columns.iter().map(|(part, name)| types(*part).read(&quoted(name))));
        Self {
            one: format!("insert into {table} ({names}) values ({values})").into(),
            all: format!(
                "insert into {table} ({names}) select {selected} \
                 from unnest({arrays}) with ordinality as e ({aliases}, place) order by place"
            )
            .into(),
            select: format!("select {read} from {table} order by {}", quoted(&columns[0].1)).into(),
            payload_is_bytea: payload == PayloadType::Bytea,
            parts,
        }
    }
}

/// What a value is sent as, and what is made of it.
#[derive(Clone, Copy)]
struct ColumnType {
    part: Part,
    sent: &'static str,
    cast: &'static str,
}

impl ColumnType {
    fn of(part: Part, payload: PayloadType, key: KeyType) -> Self {
        let (sent, cast) = match part {
            Part::Id => ("uuid", ""),
            Part::AggregateId => (
                "text",
                match key {
                    KeyType::Text => "",
                    KeyType::Uuid => "::uuid",
                    KeyType::BigInt => "::bigint",
                },
            ),
            Part::Payload => match payload {
                PayloadType::Jsonb => ("text", "::jsonb"),
                PayloadType::Json => ("text", "::json"),
                PayloadType::Text => ("text", ""),
                PayloadType::Bytea => ("bytea", ""),
            },
            Part::Headers => ("text", "::jsonb"),
            Part::AggregateType | Part::EventType | Part::Topic | Part::PartitionKey => {
                ("text", "")
            }
        };
        Self { part, sent, cast }
    }

    fn read(self, name: &str) -> String {
        match (self.part, self.sent) {
            (Part::Payload, "bytea") => name.to_owned(),
            (Part::Payload, _) => format!("convert_to({name}::text, 'UTF8')"),
            _ => format!("{name}::text"),
        }
    }
}

fn in_order(names: &ColumnNames) -> Vec<(Part, String)> {
    let columns = [
        (Part::Id, Some(&names.id)),
        (Part::AggregateType, name_of(&names.aggregate_type)),
        (Part::AggregateId, name_of(&names.aggregate_id)),
        (Part::EventType, name_of(&names.event_type)),
        (Part::Payload, Some(&names.payload)),
        (Part::Headers, name_of(&names.headers)),
        (Part::Topic, names.topic.as_ref()),
        (Part::PartitionKey, names.partition_key.as_ref()),
    ];
    columns.into_iter().filter_map(|(part, name)| Some((part, name?.clone()))).collect()
}

/// A column of an outbox whose names are given is there, unless it is switched off.
fn name_of(column: &OptionalColumn) -> Option<&String> {
    match column {
        OptionalColumn::IfPresent(name) | OptionalColumn::Named(name) => Some(name),
        OptionalColumn::Off => None,
    }
}

fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_in_order_and_cast_to_their_types() {
        let table = TableName::new("Out\"box", "events");
        let columns = ColumnNames {
            headers: OptionalColumn::Off,
            topic: Some("topic".to_owned()),
            ..ColumnNames::default()
        };
        let insert = Insert::new(&table, &columns, PayloadType::Jsonb, KeyType::Uuid);
        assert_eq!(
            &*insert.one,
            r#"insert into "Out""box"."events" ("id", "aggregatetype", "aggregateid", "type", "payload", "topic") values ($1::uuid, $2::text, $3::text::uuid, $4::text, $5::text::jsonb, $6::text)"#
        );
        assert!(
            insert
                .all
                .contains("select c1, c2, c3::uuid, c4, c5::jsonb, c6 from unnest($1::uuid[], ")
        );
        assert_eq!(insert.parts.len(), 6);
    }
}
