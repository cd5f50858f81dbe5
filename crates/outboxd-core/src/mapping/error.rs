//! What can be wrong with a mapping, and with a row.

use super::MappingConfig;
use crate::event::RowError;
use crate::headers;
use crate::relation::UnknownRelation;
use crate::route::RouterError;
use crate::stop::RecordError;

/// A row that cannot become a record.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MapError {
    /// The server broke the protocol.
    #[error(transparent)]
    UnknownRelation(#[from] UnknownRelation),
    /// The server broke the protocol.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The application wrote something that is no event.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A mapping that cannot work, whatever the rows are.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MappingConfigError {
    #[error(
        "source.tables is empty and source.messages_prefix is not set: there is no outbox to read"
    )]
    NoTables,
    /// No message can have it, so that nothing would ever be read.
    #[error("source.messages_prefix is empty or contains a NUL character")]
    UnusablePrefix,
    #[error(
        "columns.extra: header {header:?} is one of the relay's own (id, type, sequence, outboxd-…)"
    )]
    OwnHeader { header: String },
    #[error("columns.extra: header {header:?} is given twice")]
    DuplicateHeader { header: String },
    #[error("columns.extra: a header name contains a NUL character")]
    HeaderWithNul,
    #[error(transparent)]
    Topics(#[from] RouterError),
}

/// Checks what is not checked by the part that uses it.
pub(super) fn check(config: &MappingConfig) -> Result<(), MappingConfigError> {
    if config.tables.is_empty() && config.messages_prefix.is_none() {
        return Err(MappingConfigError::NoTables);
    }
    let prefix = config.messages_prefix.as_deref();
    if prefix.is_some_and(|prefix| prefix.is_empty() || prefix.contains('\0')) {
        return Err(MappingConfigError::UnusablePrefix);
    }
    let names: Vec<&str> = config.columns.header_names().collect();
    for (index, &name) in names.iter().enumerate() {
        let header = || name.to_owned();
        if headers::is_own(name) {
            return Err(MappingConfigError::OwnHeader { header: header() });
        }
        if names[..index].contains(&name) {
            return Err(MappingConfigError::DuplicateHeader { header: header() });
        }
        if name.contains('\0') {
            return Err(MappingConfigError::HeaderWithNul);
        }
    }
    Ok(())
}
