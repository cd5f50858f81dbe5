//! The name of a table as users write it.

use std::fmt;
use std::str::FromStr;

/// A table with its schema, spelt as in the catalog: nothing is folded to lower case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }

    pub fn is(&self, schema: &str, table: &str) -> bool {
        self.table == table && self.schema == schema
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_identifier(f, &self.schema)?;
        f.write_str(".")?;
        write_identifier(f, &self.table)
    }
}

/// The text is not of the form `schema.table`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not a table name: {0:?} (expected schema.table, with a part that holds a dot in double quotes)"
)]
pub struct ParseTableNameError(String);

/// Reads `schema.table`. A name without a schema is looked for in `public`. Double quotes work as
/// in SQL, and are only needed around a part that holds a dot or a quote.
impl FromStr for TableName {
    type Err = ParseTableNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTableNameError(text.to_owned());
        let (first, rest) = take_identifier(text).ok_or_else(error)?;
        let Some(rest) = rest.strip_prefix('.') else {
            return if rest.is_empty() { Ok(Self::new("public", first)) } else { Err(error()) };
        };
        match take_identifier(rest) {
            Some((second, "")) => Ok(Self::new(first, second)),
            _ => Err(error()),
        }
    }
}

/// Splits an identifier, which is not empty, from the front of `text`.
fn take_identifier(text: &str) -> Option<(String, &str)> {
    let (identifier, rest) = match text.strip_prefix('"') {
        Some(quoted) => take_quoted(quoted)?,
        None => {
            let (plain, rest) = text.split_at(text.find(['.', '"']).unwrap_or(text.len()));
            (plain.to_owned(), rest)
        }
    };
    (!identifier.is_empty()).then_some((identifier, rest))
}

/// Reads up to the closing quote; a doubled quote stands for one.
fn take_quoted(mut text: &str) -> Option<(String, &str)> {
    let mut identifier = String::new();
    loop {
        let (before, after) = text.split_once('"')?;
        identifier.push_str(before);
        let Some(doubled) = after.strip_prefix('"') else { return Some((identifier, after)) };
        identifier.push('"');
        text = doubled;
    }
}

fn write_identifier(f: &mut fmt::Formatter<'_>, identifier: &str) -> fmt::Result {
    if identifier.contains(['.', '"']) {
        write!(f, "\"{}\"", identifier.replace('"', "\"\""))
    } else {
        f.write_str(identifier)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_users_write() {
        for (text, schema, table) in [
            ("outbox.events", "outbox", "events"),
            ("outboxevent", "public", "outboxevent"),
            ("Outbox.Events", "Outbox", "Events"),
            (r#""my.schema"."say ""hi""""#, "my.schema", r#"say "hi""#),
        ] {
            assert_eq!(text.parse(), Ok(TableName::new(schema, table)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_table_name() {
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"\".b", "\"a\"b", "a\"b\"", "a.b\""] {
            assert!(text.parse::<TableName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(schema in "[a-z.\"]{1,6}", table in "[A-Z .\"]{1,6}") {
            let name = TableName::new(schema, table);
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }
}
