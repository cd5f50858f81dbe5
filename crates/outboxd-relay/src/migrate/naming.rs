//! Schemas of other names: the files say `outbox` and `inbox`.
//!
//! A file means its schema where the name is followed by a dot, or follows the word `schema`. Inside
//! of a quoted text that is as true as outside: names are given to functions in that way. The name
//! alone in quotes is the prefix of messages, and stays.

use std::fmt;
use std::str::FromStr;

/// A schema that needs no quotes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SchemaName(String);

#[derive(Debug, thiserror::Error)]
#[error("expected a-z, 0-9 and _, not beginning with a digit or pg_, 63 characters at most")]
pub struct SchemaNameError;

impl SchemaName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SchemaName {
    type Err = SchemaNameError;

    fn from_str(name: &str) -> Result<Self, SchemaNameError> {
        let first = |c: char| c.is_ascii_lowercase() || c == '_';
        let legal = name.starts_with(first)
            && name.chars().all(|c| first(c) || c.is_ascii_digit())
            && !name.starts_with("pg_")
            && name.len() <= NAME_BYTES_MAX;
        if legal { Ok(Self(name.to_owned())) } else { Err(SchemaNameError) }
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The text of a file that names `from`, for the schema `to`.
pub(super) fn renamed(sql: &str, from: &str, to: &SchemaName) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(from) {
        let (before, found) = rest.split_at(at);
        let after = &found[from.len()..];
        text.push_str(before);
        text.push_str(if is_schema(&text, after) { to.as_str() } else { from });
        rest = after;
    }
    text.push_str(rest);
    text
}

fn is_schema(before: &str, after: &str) -> bool {
    let of_a_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '$');
    if before.ends_with(of_a_name) {
        return false;
    }
    let qualifies = after.strip_prefix('.').is_some_and(|rest| rest.starts_with(of_a_name_start));
    let named = before.ends_with("schema ") || before.ends_with("schema if not exists ");
    qualifies || (named && !after.starts_with(of_a_name))
}

fn of_a_name_start(c: char) -> bool {
    c.is_ascii_lowercase() || c == '%'
}

const NAME_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> SchemaName {
        "shop".parse().unwrap()
    }

    #[test]
    fn names_that_need_no_quotes() {
        for legal in ["outbox", "_o2", &"x".repeat(63)] {
            assert!(legal.parse::<SchemaName>().is_ok(), "{legal}");
        }
        for illegal in ["", "Outbox", "2x", "a b", "a\"b", "pg_x", "ü", &"x".repeat(64)] {
            assert!(illegal.parse::<SchemaName>().is_err(), "{illegal}");
        }
    }

    #[test]
    fn the_schema_is_renamed_and_nothing_else() {
        for (sql, expected) in [
            ("create schema if not exists outbox;", "create schema if not exists shop;"),
            ("comment on schema outbox is", "comment on schema shop is"),
            ("insert into outbox.events as event", "insert into shop.events as event"),
            ("format('outbox.events_%s', n)", "format('shop.events_%s', n)"),
            ("perform emit(true, 'outbox', x)", "perform emit(true, 'outbox', x)"),
            (
                "alter table outbox.events owner to outbox_owner",
                "alter table shop.events owner to outbox_owner",
            ),
            ("the outbox. It", "the outbox. It"),
            ("an outbox", "an outbox"),
            ("other_outbox.events", "other_outbox.events"),
        ] {
            assert_eq!(renamed(sql, "outbox", &shop()), expected);
        }
    }
}
