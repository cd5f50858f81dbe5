//! From a row of an outbox table to an event.
//!
//! A [`Row`] is the raw text of the mapped columns; it names the event in an error even when the
//! rest cannot be read. An [`Event`] is the row once it holds what every event must have.

mod bytea;

use std::fmt;
use std::str;

pub use bytea::InvalidBytea;
pub(crate) use bytea::decode_into as decode_bytea;

use crate::pgoutput::Cell;
use crate::relation::{Field, Layout};
use crate::stop::{RecordError, RecordErrorKind};

/// The mapped columns of one row; `None` is SQL null, or a column that is not mapped.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    values: [Option<&'a [u8]>; Field::COUNT],
}

/// A row that does not fit the announcement of its table, or holds what no inserted row can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RowError {
    #[error("the row has {found} columns, {announced} were announced")]
    ColumnCount { announced: usize, found: usize },
    #[error("column {position} of the row is not in text format")]
    NotText { position: usize },
}

impl<'a> Row<'a> {
    /// Picks the mapped columns from all columns of a row.
    pub fn read(
        layout: &Layout,
        cells: impl IntoIterator<Item = Cell<'a>>,
    ) -> Result<Self, RowError> {
        let mut row = Self { values: [None; Field::COUNT] };
        let mut taken = layout.taken();
        let mut found = 0;
        for (position, cell) in cells.into_iter().enumerate() {
            found = position + 1;
            let value = text(cell, position)?;
            while let Some((next, rest)) = taken.split_first()
                && next.position == position
            {
                row.values[next.field as usize] = value;
                taken = rest;
            }
        }
        let announced = layout.column_count();
        if found == announced { Ok(row) } else { Err(RowError::ColumnCount { announced, found }) }
    }

    /// Picks the mapped columns among the first columns of a row, for naming it in an error.
    pub fn read_leading(layout: &Layout, cells: &[Cell<'a>]) -> Self {
        let mut row = Self { values: [None; Field::COUNT] };
        for taken in layout.taken() {
            let cell = cells.get(taken.position).copied().unwrap_or(Cell::Null);
            row.values[taken.field as usize] = text(cell, taken.position).unwrap_or(None);
        }
        row
    }

    pub fn value(&self, field: Field) -> Option<&'a [u8]> {
        self.values[field as usize]
    }

    pub fn text(&self, field: Field) -> Result<Option<&'a str>, ValueError> {
        self.value(field).map(str::from_utf8).transpose().map_err(|_| ValueError::NotUtf8)
    }

    /// Says what is wrong with this row, naming the event as far as the row does.
    #[must_use]
    pub fn error(
        &self,
        kind: RecordErrorKind,
        topic: Option<&str>,
        message: impl fmt::Display,
    ) -> RecordError {
        let id = self.value(Field::Id).map(|id| String::from_utf8_lossy(id).into_owned());
        RecordError {
            kind,
            event_id: id,
            topic: topic.map(str::to_owned),
            key: self.value(Field::AggregateId).map(<[u8]>::to_vec),
            message: message.to_string(),
        }
    }
}

fn text(cell: Cell<'_>, position: usize) -> Result<Option<&[u8]>, RowError> {
    match cell {
        Cell::Text(text) => Ok(Some(text)),
        Cell::Null => Ok(None),
        Cell::Unchanged | Cell::Binary(_) => Err(RowError::NotText { position }),
    }
}

/// An event as the application wrote it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event<'a> {
    pub id: &'a str,
    /// `None` only where the table need not have one.
    pub aggregate_type: Option<&'a str>,
    /// `None`: no key, and no promise of order.
    pub aggregate_id: Option<&'a [u8]>,
    /// As [`Self::aggregate_type`].
    pub event_type: Option<&'a str>,
    /// `None`: a tombstone.
    pub payload: Option<&'a [u8]>,
    /// A JSON object, not read yet.
    pub headers: Option<&'a [u8]>,
    /// As Postgres prints it, not read yet.
    pub created_at: Option<&'a [u8]>,
    pub topic: Option<&'a str>,
    pub partition_key: Option<&'a [u8]>,
    pub schema_version: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
}

/// A column of a row that does not hold what its part of an event needs.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("column {column:?} {reason}")]
pub struct ColumnError<R: fmt::Display> {
    pub column: String,
    pub reason: R,
}

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    #[error("is null")]
    Null,
    #[error("is not valid UTF-8")]
    NotUtf8,
    #[error("{0}")]
    Bytea(#[from] InvalidBytea),
}

impl<'a> Event<'a> {
    /// Checks a row. `scratch` holds the payload when it has to be decoded.
    pub fn read(
        layout: &Layout,
        row: &Row<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Self, ColumnError<ValueError>> {
        let at = |field| {
            move |reason| ColumnError { column: layout.column_name(field).to_owned(), reason }
        };
        let optional = |field| row.text(field).map_err(at(field));
        let required = |field| optional(field)?.ok_or(ValueError::Null).map_err(at(field));
        let as_asked = |field| match layout.requires(field) {
            true => required(field).map(Some),
            false => optional(field),
        };
        Ok(Self {
            id: required(Field::Id)?,
            aggregate_type: as_asked(Field::AggregateType)?,
            aggregate_id: row.value(Field::AggregateId),
            event_type: as_asked(Field::EventType)?,
            payload: payload(layout, row, scratch).map_err(at(Field::Payload))?,
            headers: row.value(Field::Headers),
            created_at: row.value(Field::CreatedAt),
            topic: optional(Field::Topic)?,
            partition_key: row.value(Field::PartitionKey),
            schema_version: row.value(Field::SchemaVersion),
            content_type: row.value(Field::ContentType),
        })
    }
}

fn payload<'a>(
    layout: &Layout,
    row: &Row<'a>,
    scratch: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, ValueError> {
    let value = row.value(Field::Payload);
    let Some(text) = value.filter(|_| layout.payload_is_bytea()) else { return Ok(value) };
    scratch.clear();
    decode_bytea(text, scratch)?;
    Ok(Some(scratch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relation::{ColumnNames, TableName};

    const COLUMNS: [(&str, u32); 7] = [
        ("id", 2950),
        ("note", 25),
        ("aggregatetype", 1043),
        ("aggregateid", 1043),
        ("type", 1043),
        ("payload", 3802),
        ("headers", 3802),
    ];

    fn layout(payload_oid: u32) -> Layout {
        let columns =
            COLUMNS.map(|(name, oid)| (name, if name == "payload" { payload_oid } else { oid }));
        Layout::resolve(&TableName::new("outbox", "events"), columns, &ColumnNames::default())
            .unwrap()
    }

    fn cells() -> [Cell<'static>; 7] {
        ["1f", "ignored", "Order", "o-1", "Placed", r#"{"a": 1.10}"#, "{}"]
            .map(|text| Cell::Text(text.as_bytes()))
    }

    fn read(
        payload_oid: u32,
        cells: [Cell<'_>; 7],
    ) -> Result<Option<Vec<u8>>, ColumnError<ValueError>> {
        let layout = layout(payload_oid);
        let row = Row::read(&layout, cells).unwrap();
        let mut scratch = b"left over".to_vec();
        Event::read(&layout, &row, &mut scratch).map(|event| event.payload.map(<[u8]>::to_vec))
    }

    #[test]
    fn picks_the_mapped_columns_by_name() {
        let layout = layout(3802);
        let row = Row::read(&layout, cells()).unwrap();
        let mut scratch = Vec::new();
        let event = Event::read(&layout, &row, &mut scratch).unwrap();
        assert_eq!(event.id, "1f");
        assert_eq!((event.aggregate_type, event.event_type), (Some("Order"), Some("Placed")));
        assert_eq!(event.aggregate_id, Some(&b"o-1"[..]));
        assert_eq!(event.payload, Some(&br#"{"a": 1.10}"#[..]));
        assert_eq!((event.headers, event.created_at), (Some(&b"{}"[..]), None));
    }

    #[test]
    fn null_where_an_event_needs_a_value_names_the_column() {
        for (position, column) in [(0, "id"), (2, "aggregatetype"), (4, "type")] {
            let mut cells = cells();
            cells[position] = Cell::Null;
            let error = read(3802, cells).unwrap_err();
            assert_eq!(error.to_string(), format!("column {column:?} is null"));
        }
    }

    #[test]
    fn null_payload_and_null_key_are_events() {
        let mut cells = cells();
        (cells[3], cells[5]) = (Cell::Null, Cell::Null);
        assert_eq!(read(3802, cells), Ok(None));
        assert_eq!(read(17, cells), Ok(None));
    }

    #[test]
    fn text_that_is_not_utf8_is_an_error() {
        let mut cells = cells();
        cells[0] = Cell::Text(b"\xff");
        assert_eq!(
            read(3802, cells),
            Err(ColumnError { column: "id".to_owned(), reason: ValueError::NotUtf8 })
        );
    }

    #[test]
    fn bytea_is_decoded_and_text_that_looks_like_it_is_not() {
        let mut cells = cells();
        cells[5] = Cell::Text(br"\x00ff10");
        assert_eq!(read(17, cells), Ok(Some(vec![0x00, 0xff, 0x10])));
        assert_eq!(read(25, cells), Ok(Some(br"\x00ff10".to_vec())));
        cells[5] = Cell::Text(b"escaped");
        assert!(read(17, cells).unwrap_err().to_string().starts_with("column \"payload\" "));
    }

    #[test]
    fn a_row_of_another_width_is_not_read() {
        let layout = layout(3802);
        let short = Row::read(&layout, cells()[..6].iter().copied()).unwrap_err();
        assert_eq!(short, RowError::ColumnCount { announced: 7, found: 6 });
        let long = Row::read(&layout, cells().into_iter().chain([Cell::Null])).unwrap_err();
        assert_eq!(long, RowError::ColumnCount { announced: 7, found: 8 });
    }

    #[test]
    fn a_value_that_an_insert_cannot_carry_is_an_error() {
        for odd in [Cell::Unchanged, Cell::Binary(b"1")] {
            let mut cells = cells();
            cells[5] = odd;
            let error = Row::read(&layout(3802), cells).unwrap_err();
            assert_eq!(error, RowError::NotText { position: 5 });
        }
    }

    #[test]
    fn leading_cells_name_what_they_hold() {
        let layout = layout(3802);
        let row = Row::read_leading(&layout, &cells()[..4]);
        let error = row.error(RecordErrorKind::RecordTooLarge, None, "too large");
        assert_eq!(error.event_id.as_deref(), Some("1f"));
        assert_eq!(error.key.as_deref(), Some(&b"o-1"[..]));
        assert_eq!(row.value(Field::EventType), None);
    }
}
