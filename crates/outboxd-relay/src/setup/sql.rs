//! SQL text, where parameters cannot be used.

use outboxd_core::relation::TableName;

pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// For `standard_conforming_strings`, and for servers that have it off as well.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

pub(crate) fn table(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.table))
}

pub(crate) const OUTBOX_SCHEMA: &str =
    include_str!("../../../../migrations/0001_outbox_schema.sql");
pub(crate) const OUTBOX_EVENTS: &str =
    include_str!("../../../../migrations/0002_outbox_events.sql");
pub(crate) const OUTBOX_ROLES: &str = include_str!("../../../../migrations/0003_outbox_roles.sql");
pub(crate) const DEAD_LETTERS: &str = include_str!("../../../../migrations/0004_dead_letters.sql");
pub(crate) const DEAD_LETTERS_ROLES: &str =
    include_str!("../../../../migrations/0005_dead_letters_roles.sql");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(table(&TableName::new("a.b", "C")), r#""a.b"."C""#);
    }

    /// A database need not be in UTF-8.
    #[test]
    fn migrations_can_be_run_in_any_encoding() {
        let all = [OUTBOX_SCHEMA, OUTBOX_EVENTS, OUTBOX_ROLES, DEAD_LETTERS, DEAD_LETTERS_ROLES];
        for migration in all {
            let other = migration.lines().find(|line| !line.is_ascii());
            assert_eq!(other, None, "not in ASCII");
        }
    }

    #[test]
    fn every_object_of_a_migration_has_a_comment() {
        for (migration, prefix) in
            [(OUTBOX_SCHEMA, "create schema "), (OUTBOX_EVENTS, "create table ")]
        {
            let (_, rest) = migration.split_once(prefix).unwrap();
            let object = rest.split([' ', ';']).next().unwrap();
            let kind = prefix.split(' ').nth(1).unwrap();
            assert!(migration.contains(&format!("comment on {kind} {object} is '")), "{object}");
        }
        let columns = OUTBOX_EVENTS.lines().filter_map(|line| line.strip_prefix("    "));
        for column in columns.filter(|line| !line.starts_with("constraint")) {
            let name = column.split(' ').next().unwrap();
            assert!(
                OUTBOX_EVENTS.contains(&format!("comment on column outbox.events.{name} is '"))
            );
        }
    }
}
