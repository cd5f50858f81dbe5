//! A row of the stream: column values in the order of the relation's columns, without their names.

use std::iter::FusedIterator;

use crate::wire::{DecodeError, Input};

/// A row, checked when it was decoded; [`Tuple::cells`] walks it again without failing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tuple<'a> {
    columns: u16,
    /// Exactly `columns` cells: nothing else makes a `Tuple` than the walk in [`Tuple::read`].
    body: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// Decodes a row that stands alone, as the encoder makes it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Input::new(bytes).whole("row", Self::read)
    }

    /// The number of columns.
    pub const fn len(&self) -> usize {
        self.columns as usize
    }

    pub const fn is_empty(&self) -> bool {
        self.columns == 0
    }

    pub fn cells(&self) -> Cells<'a> {
        Cells { left: self.columns, input: Input::new(self.body) }
    }

    pub(super) fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        let columns = input.short_count(COLUMN_COUNT)?;
        let body =
            input.span(|input| (0..columns).try_for_each(|_| Cell::read(input).map(drop)))?;
        Ok(Self { columns, body })
    }
}

/// The value of one column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cell<'a> {
    Null,
    /// A TOASTed value that an update did not touch.
    Unchanged,
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

impl<'a> Cell<'a> {
    fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        match input.byte(CELL_KIND)? {
            b't' => input.counted("length of column value", "column value").map(Self::Text),
            b'n' => Ok(Self::Null),
            b'u' => Ok(Self::Unchanged),
            b'b' => input.counted("length of column value", "column value").map(Self::Binary),
            found => Err(DecodeError::Unknown { what: CELL_KIND, found }),
        }
    }
}

/// The cells of a [`Tuple`], in column order.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    left: u16,
    input: Input<'a>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(Cell::read(&mut self.input).expect("the row was walked when it was decoded"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Cells<'_> {}

impl FusedIterator for Cells<'_> {}

/// The cells that stand complete at the start of a row that was cut off, or all of them when it
/// was not. Only missing bytes count as a cut: anything else that is wrong stays an error.
pub(super) fn leading_cells<'a>(input: &mut Input<'a>) -> Result<Vec<Cell<'a>>, DecodeError> {
    let columns = input.short_count(COLUMN_COUNT)?;
    // Grows with what is found, not with what is announced.
    let mut cells = Vec::new();
    for _ in 0..columns {
        match Cell::read(input) {
            Ok(cell) => cells.push(cell),
            Err(DecodeError::Short { .. }) => {
                input.remainder();
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(cells)
}

const COLUMN_COUNT: &str = "column count of row";
const CELL_KIND: &str = "kind of column value";
