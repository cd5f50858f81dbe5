//! The content of a logical message that stands for a row: the values of its columns by name.
//!
//! ```json
//! {"v": 1, "row": {"id": "…", "payload": "…", "headers": null}, "bytea": ["payload"]}
//! ```
//!
//! A value is what Postgres prints of the column, or null. Columns named under `bytea` are given as
//! `\x` and hex digits. Members and columns that nobody asks for are passed over; a name given
//! twice is refused, because there is no telling which was meant.
//!
//! Anybody who may write such a message may write anything in it, so nothing is trusted, and no
//! error repeats a value.

mod document;
mod values;

use serde_json::error::Category;

use self::document::read_document;
pub(crate) use self::values::Values;
use crate::event::InvalidBytea;
use crate::relation::NamedColumns;

/// A content that does not stand for a row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// What the parser says of the text, which is never a value.
    #[error("is not JSON: {0}")]
    NotJson(String),
    #[error("is not of the form {{\"v\":1,\"row\":{{…}}}}")]
    Form,
    #[error("has no member {0:?}")]
    Lacks(&'static str),
    #[error("is of version {0}, and only version {VERSION} is known")]
    Version(u64),
    #[error("gives {0:?} twice")]
    Twice(String),
    #[error("has neither text nor null in column {0:?}")]
    NotText(String),
    #[error("has no column {0:?}")]
    MissingColumn(String),
    #[error("column {column:?} {reason}")]
    Bytea { column: String, reason: InvalidBytea },
}

/// Reads a content into `values`, which after an error hold what was read before it.
pub(crate) fn read(
    content: &[u8],
    columns: &NamedColumns,
    values: &mut Values,
) -> Result<(), ContentError> {
    let columns = columns.columns();
    values.begin(columns.len());
    let text = str::from_utf8(content).map_err(|_| ContentError::NotUtf8)?;
    let mut fault = None;
    read_document(text, columns, values, &mut fault)
        .map_err(|error| fault.unwrap_or_else(|| syntax(&error)))?;
    for (position, column) in columns.iter().enumerate() {
        if column.required && !values.is_given(position) {
            return Err(ContentError::MissingColumn(column.name.clone()));
        }
        values.decode_marked(position).map_err(|reason| {
            let column = column.name.clone();
            ContentError::Bytea { column, reason }
        })?;
    }
    Ok(())
}

/// Only errors of syntax are sure to repeat nothing of the text.
fn syntax(error: &serde_json::Error) -> ContentError {
    match error.classify() {
        Category::Syntax | Category::Eof => ContentError::NotJson(error.to_string()),
        Category::Data | Category::Io => ContentError::Form,
    }
}

const VERSION: u64 = 1;

#[cfg(test)]
mod tests;
