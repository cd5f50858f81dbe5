//! All headers of a record, in their order.

use super::row::write_object;
use super::{
    CONTENT_TYPE, Dropped, HeaderChoice, HeadersError, NameRefused, SCHEMA_VERSION, Sequence,
    is_own,
};
use crate::event::{ColumnError, Event, decode_bytea};
use crate::pgoutput::Cell;
use crate::record::HeaderBuffer;
use crate::relation::{ColumnNames, Extra, Field, Layout};

/// Which headers are written, and which names a row may therefore not use.
#[derive(Clone, Debug)]
pub struct HeaderRules {
    choice: HeaderChoice,
    /// The names of mapped columns' headers.
    mapped: Vec<String>,
}

impl HeaderRules {
    pub fn new(choice: HeaderChoice, columns: &ColumnNames) -> Self {
        Self { choice, mapped: columns.header_names().map(str::to_owned).collect() }
    }

    /// Appends the headers of one event, and returns the names that its row gave in vain.
    pub fn write<'a>(
        &self,
        event: &Event<'a>,
        sequence: Sequence,
        layout: &Layout,
        cells: &(impl Iterator<Item = Cell<'a>> + Clone),
        headers: &mut HeaderBuffer,
    ) -> Result<Dropped<'a>, ColumnError<HeadersError>> {
        self.choice.write(event.id, event.event_type, sequence, headers);
        for (name, value) in
            [(SCHEMA_VERSION, event.schema_version), (CONTENT_TYPE, event.content_type)]
        {
            if let Some(value) = value {
                headers.push(name, value);
            }
        }
        for extra in layout.extra() {
            if let Some(Cell::Text(text)) = cells.clone().nth(extra.position) {
                write_extra(extra, text, headers)?;
            }
        }
        let Some(object) = event.headers else { return Ok(Vec::new()) };
        write_object(object, |name| self.check_name(name), headers).map_err(|reason| ColumnError {
            column: layout.column_name(Field::Headers).to_owned(),
            reason,
        })
    }

    /// Whether a row may use this name.
    pub fn check_name(&self, name: &str) -> Result<(), NameRefused> {
        if is_own(name) {
            Err(NameRefused::Own)
        } else if self.mapped.iter().any(|mapped| mapped == name) {
            Err(NameRefused::Mapped)
        } else if name.contains('\0') {
            Err(NameRefused::Nul)
        } else {
            Ok(())
        }
    }
}

fn write_extra(
    extra: &Extra,
    text: &[u8],
    headers: &mut HeaderBuffer,
) -> Result<(), ColumnError<HeadersError>> {
    let mut decoded = Ok(());
    headers.push_with(&extra.header, |value| {
        if extra.is_bytea {
            decoded = decode_bytea(text, value);
        } else {
            value.extend_from_slice(text);
        }
    });
    decoded.map_err(|reason| ColumnError { column: extra.column.clone(), reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_or_cannot_be_are_refused() {
        let columns = ColumnNames { content_type: Some("media".to_owned()), ..Default::default() };
        let rules = HeaderRules::new(HeaderChoice { event_type: false, sequence: false }, &columns);
        for own in ["id", "type", "sequence", "outboxd-", "outboxd-replay", "outboxd-\0"] {
            assert_eq!(rules.check_name(own), Err(NameRefused::Own), "{own:?}");
        }
        assert_eq!(rules.check_name("content_type"), Err(NameRefused::Mapped));
        assert_eq!(rules.check_name("a\0"), Err(NameRefused::Nul));
        for free in ["", "Id", "media", "schema_version", "traceparent", "outboxd"] {
            assert_eq!(rules.check_name(free), Ok(()), "{free:?}");
        }
    }
}
