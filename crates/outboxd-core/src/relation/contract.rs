//! How a table can fail to be an outbox.

use super::layout::Field;
use super::table::TableName;
use crate::stop::{Code, Stop};

/// A table that cannot be read as an outbox with the configured column names.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ContractError {
    #[error("table {table} has no column {column:?}")]
    MissingColumn {
        table: TableName,
        column: String,
        /// What the column was to be; `None` for an extra header.
        field: Option<Field>,
        /// The columns that the table does have.
        present: Vec<String>,
    },
    #[error("column {column:?} of table {table} has type {found}")]
    UnusableType {
        table: TableName,
        column: String,
        field: Field,
        found: String,
        /// The types that would do, as a list to print.
        accepted: String,
    },
    /// An outbox was renamed while it was streamed, so that its rows would be ignored.
    #[error("table {table} is now called {now}")]
    Renamed { table: TableName, now: TableName },
}

impl From<&ContractError> for Stop {
    fn from(error: &ContractError) -> Self {
        Self::new(Code::TableContract, error.to_string()).detail(detail(error)).hint(hint(error))
    }
}

fn detail(error: &ContractError) -> String {
    match error {
        ContractError::MissingColumn { field, present, .. } => {
            let has = format!("the table has: {}", present.join(", "));
            match field {
                Some(field) => format!("it is read as {}; {has}", field.key()),
                None => format!("it is to be sent as a header; {has}"),
            }
        }
        ContractError::UnusableType { field, accepted, .. } => {
            format!("it is read as {}, which can be: {accepted}", field.key())
        }
        ContractError::Renamed { .. } => {
            "rows inserted under the new name would not be published".to_owned()
        }
    }
}

fn hint(error: &ContractError) -> String {
    let name = |field: &Field| format!("[columns] {} = \"…\"", field.key());
    match error {
        ContractError::MissingColumn { field: Some(field), .. } => {
            format!("add the column, or name the one that holds it: {}", name(field))
        }
        ContractError::MissingColumn { field: None, .. } => {
            "correct or remove its entry in [columns] extra".to_owned()
        }
        ContractError::UnusableType { field, .. } => {
            format!("change its type, or name another column: {}", name(field))
        }
        ContractError::Renamed { .. } => {
            "rename it back, or put the new name into source.tables".to_owned()
        }
    }
}
