//! Quoting for the replication grammar, which knows only the plain forms: doubled quotes and no
//! escapes. The session sets `standard_conforming_strings`, so SQL reads them the same way.

pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The value of `publication_names`: identifiers inside a literal.
pub(super) fn identifier_list(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| identifier(name)).collect();
    literal(&names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_at_each_level() {
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal(r"it's \ here"), r"'it''s \ here'");
        assert_eq!(identifier_list(&["a", "o'b\"c"]), r#"'"a","o''b""c"'"#);
    }
}
