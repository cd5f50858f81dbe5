//! Logical messages that stand for rows.

use super::scratch::KEPT_BYTES;
use super::{MapError, leading_route_input};
use crate::content::{self, Values};
use crate::event::Row;
use crate::relation::{ColumnNames, Layout, NamedColumns};
use crate::route::Router;
use crate::stop::{RecordError, RecordErrorKind};

/// The messages with one prefix. Their transactions are those of any writer, so what stands in them
/// is an error of the record and never one of the server.
#[derive(Clone, Debug)]
pub(super) struct Messages {
    prefix: String,
    columns: NamedColumns,
    values: Values,
}

impl Messages {
    pub(super) fn new(prefix: String, names: &ColumnNames) -> Self {
        Self { prefix, columns: NamedColumns::new(names), values: Values::default() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The values of the mapped columns, and where each of them stands.
    pub(super) fn read(&mut self, content: &[u8]) -> Result<(&Layout, &Values), MapError> {
        let Self { prefix, columns, values } = self;
        values.shrink_to(KEPT_BYTES);
        let layout = columns.layout();
        match content::read(content, columns, values) {
            Ok(()) => Ok((layout, values)),
            Err(error) => {
                let message = format!("a message with prefix {prefix:?} {error}");
                let row = Row::read(layout, values.cells())?;
                Err(row.error(RecordErrorKind::InvalidRecord, None, message).into())
            }
        }
    }

    /// Names a message that was too large to be kept, by the columns that stand complete in its
    /// first bytes.
    pub(super) fn describe(&mut self, head: &[u8], router: &Router) -> RecordError {
        let Self { prefix, columns, values } = self;
        // It was cut off, perhaps inside a character, so it ends in an error; the columns before that
        // are in `values`.
        let whole = head.utf8_chunks().next().map_or(&[][..], |chunk| chunk.valid().as_bytes());
        content::read(whole, columns, values).ok();
        let layout = columns.layout();
        let cells: Vec<_> = values.cells().collect();
        let row = Row::read_leading(layout, &cells);
        let mut scratch = String::new();
        let topic = leading_route_input(layout, &row, |position| values.is_given(position))
            .and_then(|input| router.route(input, &mut scratch).ok());
        let message = format!("a message with prefix {prefix:?} is larger than max_row_bytes");
        row.error(RecordErrorKind::RecordTooLarge, topic, message)
    }
}
