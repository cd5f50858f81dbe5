//! An outbox table that uses everything the mapping knows.

use outboxd_core::headers::HeaderChoice;
use outboxd_core::mapping::{Mapper, MappingConfig};
use outboxd_core::pgoutput::{Column, Relation, RelationId};
use outboxd_core::relation::{ColumnNames, ExtraColumn, OptionalColumn, TableName};

/// A mapper of [`events`].
pub(crate) fn mapper() -> Mapper {
    mapper_of(NAMESPACE, NAME)
}

/// As [`mapper`], for a table of another name.
pub(crate) fn mapper_of(namespace: &str, name: &str) -> Mapper {
    let columns = ColumnNames {
        headers: OptionalColumn::IfPresent("headers".to_owned()),
        created_at: OptionalColumn::IfPresent("created_at".to_owned()),
        schema_version: Some("version".to_owned()),
        extra: vec![ExtraColumn { column: "trace".to_owned(), header: "trace".to_owned() }],
        ..ColumnNames::default()
    };
    let tables = vec![TableName::new(namespace, name)];
    let headers = HeaderChoice::default();
    let messages_prefix = Some(PREFIX.to_owned());
    let config =
        MappingConfig { tables, messages_prefix, columns, headers, ..MappingConfig::default() };
    Mapper::new(config).expect("a valid mapping")
}

/// Its announcement.
pub(crate) fn events(id: RelationId) -> Relation<'static> {
    let column =
        |&(name, type_oid)| Column { is_key: name == "id", name, type_oid, type_modifier: -1 };
    let columns = COLUMNS.iter().map(column).collect();
    Relation { id, namespace: NAMESPACE, name: NAME, replica_identity: b'd', columns }
}

/// Of the messages that are rows.
pub(crate) const PREFIX: &str = "outbox";
pub(crate) const EVENTS: RelationId = RelationId(16_400);
const NAMESPACE: &str = "outbox";
const NAME: &str = "events";
/// Names, and types by oid. The payload and the trace are `bytea`.
const COLUMNS: [(&str, u32); 9] = [
    ("id", 2950),
    ("aggregatetype", 1043),
    ("aggregateid", 1043),
    ("type", 1043),
    ("payload", 17),
    ("headers", 3802),
    ("created_at", 1184),
    ("version", 23),
    ("trace", 17),
];
