//! Where the mapped columns of one table stand, found by name once per announcement.
//!
//! The same rule serves the start gate, which reads the catalog, and the stream, which reads the
//! announcement: both go through [`Layout::resolve`].

use super::columns::{ColumnNames, ExtraColumn, Wanted};
use super::contract::ContractError;
use super::table::TableName;
use super::types::{Accepted, BYTEA, type_name};

/// A part of an event that is read from a column of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    Id,
    AggregateType,
    AggregateId,
    EventType,
    Payload,
    Headers,
    CreatedAt,
    Topic,
    PartitionKey,
    SchemaVersion,
    ContentType,
}

impl Field {
    pub(crate) const COUNT: usize = 11;

    /// The key of `[columns]` in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::AggregateType => "aggregatetype",
            Self::AggregateId => "aggregateid",
            Self::EventType => "type",
            Self::Payload => "payload",
            Self::Headers => "headers",
            Self::CreatedAt => "created_at",
            Self::Topic => "topic",
            Self::PartitionKey => "partition_key",
            Self::SchemaVersion => "schema_version",
            Self::ContentType => "content_type",
        }
    }

    const fn accepted(self) -> Accepted {
        match self {
            Self::Id => Accepted::ID,
            Self::AggregateType | Self::EventType | Self::Topic | Self::ContentType => {
                Accepted::TEXT
            }
            Self::AggregateId | Self::PartitionKey | Self::SchemaVersion => Accepted::KEY,
            Self::Payload => Accepted::PAYLOAD,
            Self::Headers => Accepted::HEADERS,
            Self::CreatedAt => Accepted::TIME,
        }
    }
}

/// The columns of one table that make an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    table: TableName,
    column_count: usize,
    /// Sorted by position, so that one walk over a row finds them all. A column can be taken twice.
    taken: Vec<Taken>,
    extra: Vec<Extra>,
    payload_is_bytea: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Taken {
    pub(crate) position: usize,
    pub(crate) field: Field,
    name: String,
    /// Asked for, as opposed to used when it is there.
    required: bool,
}

/// A column that is sent as a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Extra {
    pub(crate) position: usize,
    pub(crate) column: String,
    pub(crate) header: String,
    pub(crate) is_bytea: bool,
}

impl Layout {
    /// Finds the mapped columns among the columns of a table, given as name and type oid in the
    /// order of the table, without dropped ones.
    pub fn resolve<'a>(
        table: &TableName,
        columns: impl IntoIterator<Item = (&'a str, u32)>,
        names: &ColumnNames,
    ) -> Result<Self, ContractError> {
        let columns = Columns { table, columns: columns.into_iter().collect() };
        let mut taken = Vec::new();
        for wanted in names.wanted() {
            taken.extend(columns.take(wanted)?);
        }
        taken.sort_by_key(|taken| taken.position);
        let extra = names.extra.iter().map(|extra| columns.extra(extra));
        Ok(Self {
            table: table.clone(),
            column_count: columns.columns.len(),
            payload_is_bytea: columns.find(&names.payload).is_some_and(|(_, oid)| oid == BYTEA),
            extra: extra.collect::<Result<_, _>>()?,
            taken,
        })
    }

    /// The layout of rows that name their columns: `place` gives each column its position. Such a
    /// row holds bytes where a table would have `bytea`, so nothing is left to be decoded.
    pub(super) fn placed(names: &ColumnNames, mut place: impl FnMut(&str, bool) -> usize) -> Self {
        let take = |wanted: Wanted<'_>| Taken {
            position: place(wanted.name, wanted.required),
            field: wanted.field,
            name: wanted.name.to_owned(),
            required: wanted.required,
        };
        let mut taken: Vec<Taken> = names.wanted().map(take).collect();
        taken.sort_by_key(|taken| taken.position);
        let extra = names.extra.iter().map(|extra| Extra {
            position: place(&extra.column, true),
            column: extra.column.clone(),
            header: extra.header.clone(),
            is_bytea: false,
        });
        let extra = extra.collect();
        let table = TableName::new("", "");
        Self { table, column_count: 0, taken, extra, payload_is_bytea: false }
    }

    pub(super) fn of_width(self, column_count: usize) -> Self {
        Self { column_count, ..self }
    }

    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Index of the column that holds `field`; `None` when it is not mapped or not there.
    pub fn position(&self, field: Field) -> Option<usize> {
        self.taken.iter().find(|taken| taken.field == field).map(|taken| taken.position)
    }

    /// What the column of `field` is called in this table.
    pub(crate) fn column_name(&self, field: Field) -> &str {
        let taken = self.taken.iter().find(|taken| taken.field == field);
        taken.map_or(field.key(), |taken| &taken.name)
    }

    /// Whether rows have to have the column of `field`.
    pub(crate) fn requires(&self, field: Field) -> bool {
        self.taken.iter().any(|taken| taken.field == field && taken.required)
    }

    pub(crate) fn column_count(&self) -> usize {
        self.column_count
    }

    pub(crate) fn taken(&self) -> &[Taken] {
        &self.taken
    }

    pub(crate) fn extra(&self) -> &[Extra] {
        &self.extra
    }

    pub(crate) fn payload_is_bytea(&self) -> bool {
        self.payload_is_bytea
    }
}

struct Columns<'a> {
    table: &'a TableName,
    columns: Vec<(&'a str, u32)>,
}

impl Columns<'_> {
    fn find(&self, name: &str) -> Option<(usize, u32)> {
        let position = self.columns.iter().position(|(column, _)| *column == name)?;
        Some((position, self.columns[position].1))
    }

    fn take(&self, wanted: Wanted<'_>) -> Result<Option<Taken>, ContractError> {
        let Wanted { field, name, required } = wanted;
        let Some((position, oid)) = self.find(name) else {
            return if required { Err(self.missing(name, Some(field))) } else { Ok(None) };
        };
        if !field.accepted().contains(oid) {
            return Err(ContractError::UnusableType {
                table: self.table.clone(),
                column: name.to_owned(),
                field,
                found: type_name(oid).into_owned(),
                accepted: field.accepted().describe(),
            });
        }
        Ok(Some(Taken { position, field, name: name.to_owned(), required }))
    }

    fn extra(&self, wanted: &ExtraColumn) -> Result<Extra, ContractError> {
        let ExtraColumn { column, header } = wanted;
        let (position, oid) = self.find(column).ok_or_else(|| self.missing(column, None))?;
        Ok(Extra {
            position,
            column: column.clone(),
            header: header.clone(),
            is_bytea: oid == BYTEA,
        })
    }

    fn missing(&self, column: &str, field: Option<Field>) -> ContractError {
        ContractError::MissingColumn {
            table: self.table.clone(),
            column: column.to_owned(),
            field,
            present: self.columns.iter().map(|&(name, _)| name.to_owned()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relation::OptionalColumn;
    use crate::stop::Stop;

    const UUID: u32 = 2950;
    const VARCHAR: u32 = 1043;
    const JSONB: u32 = 3802;
    const DEBEZIUM: [(&str, u32); 5] = [
        ("id", UUID),
        ("aggregatetype", VARCHAR),
        ("aggregateid", VARCHAR),
        ("type", VARCHAR),
        ("payload", JSONB),
    ];

    fn resolve(columns: &[(&str, u32)], names: &ColumnNames) -> Result<Layout, ContractError> {
        Layout::resolve(&TableName::new("outbox", "events"), columns.iter().copied(), names)
    }

    fn with(extra: &[(&'static str, u32)]) -> Vec<(&'static str, u32)> {
        [&DEBEZIUM[..], extra].concat()
    }

    fn with_type(column: &str, oid: u32) -> Vec<(&'static str, u32)> {
        DEBEZIUM.iter().map(|&(name, old)| (name, if name == column { oid } else { old })).collect()
    }

    #[test]
    fn debeziums_five_columns_need_no_configuration() {
        let layout = resolve(&DEBEZIUM, &ColumnNames::default()).unwrap();
        assert_eq!(layout.position(Field::Payload), Some(4));
        assert_eq!(layout.position(Field::Headers), None);
        assert_eq!(layout.position(Field::CreatedAt), None);
    }

    #[test]
    fn headers_and_created_at_are_used_when_the_table_has_them() {
        let columns = with(&[("note", 25), ("created_at", 1184), ("headers", JSONB)]);
        let layout = resolve(&columns, &ColumnNames::default()).unwrap();
        assert_eq!(layout.position(Field::CreatedAt), Some(6));
        assert_eq!(layout.position(Field::Headers), Some(7));
        let off = ColumnNames { headers: OptionalColumn::Off, ..ColumnNames::default() };
        assert_eq!(resolve(&columns, &off).unwrap().position(Field::Headers), None);
    }

    #[test]
    fn a_column_asked_for_by_name_must_exist() {
        let named = || OptionalColumn::Named("meta".to_owned());
        let mapped = || Some("meta".to_owned());
        let default = ColumnNames::default;
        for (names, field) in [
            (ColumnNames { headers: named(), ..default() }, Field::Headers),
            (ColumnNames { created_at: named(), ..default() }, Field::CreatedAt),
            (ColumnNames { topic: mapped(), ..default() }, Field::Topic),
            (ColumnNames { partition_key: mapped(), ..default() }, Field::PartitionKey),
            (ColumnNames { schema_version: mapped(), ..default() }, Field::SchemaVersion),
            (ColumnNames { content_type: mapped(), ..default() }, Field::ContentType),
        ] {
            let error = resolve(&DEBEZIUM, &names).unwrap_err();
            let ContractError::MissingColumn { column, field: missing, .. } = error else {
                panic!("{error}")
            };
            assert_eq!((column.as_str(), missing), ("meta", Some(field)));
        }
    }

    #[test]
    fn each_of_the_five_columns_is_required() {
        for missing in 0..DEBEZIUM.len() {
            let mut columns = DEBEZIUM.to_vec();
            let (name, _) = columns.remove(missing);
            let error = resolve(&columns, &ColumnNames::default()).unwrap_err();
            let expected = format!("table outbox.events has no column {name:?}");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_missing_column_stops_with_what_is_there_and_what_to_do() {
        let error = resolve(&DEBEZIUM[..4], &ColumnNames::default()).unwrap_err();
        let stop = Stop::from(&error);
        assert_eq!(stop.code.as_str(), "table_contract");
        let detail = "it is read as payload; the table has: id, aggregatetype, aggregateid, type";
        assert_eq!(stop.detail.unwrap(), detail);
        assert!(stop.hint.unwrap().contains("[columns] payload ="));
    }

    #[test]
    fn a_type_that_cannot_serve_is_named_with_those_that_can() {
        let error = resolve(&with_type("payload", 23), &ColumnNames::default()).unwrap_err();
        let message = "column \"payload\" of table outbox.events has type integer";
        assert_eq!(error.to_string(), message);
        let detail = Stop::from(&error).detail.unwrap();
        let accepted =
            "it is read as payload, which can be: jsonb, json, text, varchar, char, bytea";
        assert_eq!(detail, accepted);
    }

    #[test]
    fn every_documented_type_is_accepted_and_its_neighbours_are_not() {
        let user_enum = 16_500;
        for (column, good, bad) in [
            ("id", &[2950, 25, 1043, user_enum][..], &[20, 3802, 17][..]),
            ("aggregatetype", &[25, 1043, 1042, user_enum], &[2950, 3802]),
            ("aggregateid", &[25, 1043, 2950, 20, 23], &[3802, 17, 1700]),
            ("type", &[25, 1043, user_enum], &[17, 23]),
            ("payload", &[3802, 114, 25, 1043, 1042, 17], &[23, 1184, user_enum]),
        ] {
            for &oid in good {
                resolve(&with_type(column, oid), &ColumnNames::default()).unwrap();
            }
            for &oid in bad {
                let refused = resolve(&with_type(column, oid), &ColumnNames::default());
                assert!(refused.is_err(), "{column} {oid}");
            }
        }
        for (column, good, bad) in
            [("headers", [3802, 114], [25, 17]), ("created_at", [1184, 1114], [1082, 25])]
        {
            for oid in good {
                resolve(&with(&[(column, oid)]), &ColumnNames::default()).unwrap();
            }
            for oid in bad {
                let refused = resolve(&with(&[(column, oid)]), &ColumnNames::default());
                assert!(refused.is_err(), "{column} {oid}");
            }
        }
    }

    #[test]
    fn remapped_names_are_found_wherever_they_stand() {
        let names = ColumnNames {
            id: "event_id".to_owned(),
            aggregate_type: OptionalColumn::Named("kind".to_owned()),
            aggregate_id: OptionalColumn::Named("order_no".to_owned()),
            event_type: OptionalColumn::Named("name".to_owned()),
            payload: "body".to_owned(),
            // One column can serve twice.
            partition_key: Some("order_no".to_owned()),
            ..ColumnNames::default()
        };
        let columns =
            [("body", 17), ("order_no", 20), ("name", 25), ("event_id", 2950), ("kind", 1043)];
        let layout = resolve(&columns, &names).unwrap();
        assert_eq!(layout.position(Field::Id), Some(3));
        assert_eq!(layout.position(Field::AggregateId), Some(1));
        assert_eq!(layout.position(Field::PartitionKey), Some(1));
        assert!(layout.payload_is_bytea());
        assert_eq!(layout.column_name(Field::EventType), "name");
    }

    #[test]
    fn an_extra_column_must_exist() {
        let extra = ExtraColumn { column: "tenant".to_owned(), header: "tenant-id".to_owned() };
        let names = ColumnNames { extra: vec![extra], ..ColumnNames::default() };
        let error = resolve(&DEBEZIUM, &names).unwrap_err();
        assert!(Stop::from(&error).hint.unwrap().contains("extra"));
        let layout = resolve(&with(&[("tenant", 23)]), &names).unwrap();
        assert_eq!(layout.extra()[0].position, 5);
    }
}
