//! Many rows at once, column by column, as Postgres takes arrays.

use uuid::Uuid;

use super::row::{Cell, Row};

/// The values of one column.
#[derive(Debug)]
pub(super) enum Column<'a> {
    Uuid(Vec<Uuid>),
    Text(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

/// Turns rows of equal columns, of which there is one at least.
pub(super) fn columns(rows: &[Row]) -> Vec<Column<'_>> {
    let width = rows.first().map_or(0, |row| row.cells.len());
    (0..width).map(|index| column(rows.iter().map(|row| &row.cells[index]))).collect()
}

fn column<'a>(mut cells: impl Iterator<Item = &'a Cell> + Clone) -> Column<'a> {
    match cells.clone().next() {
        Some(Cell::Uuid(_)) => Column::Uuid(cells.filter_map(uuid).collect()),
        Some(Cell::Bytes(_)) => Column::Bytes(cells.map(bytes).collect()),
        _ => Column::Text(cells.by_ref().map(text).collect()),
    }
}

fn uuid(cell: &Cell) -> Option<Uuid> {
    if let Cell::Uuid(id) = cell { Some(*id) } else { None }
}

fn text(cell: &Cell) -> Option<&str> {
    if let Cell::Text(text) = cell { text.as_deref() } else { None }
}

fn bytes(cell: &Cell) -> Option<&[u8]> {
    if let Cell::Bytes(bytes) = cell { bytes.as_deref() } else { None }
}
