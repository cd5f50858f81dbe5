//! The row's own headers: a JSON object, of which each member becomes one header.
//!
//! A string becomes its characters. Numbers, booleans and nested values become their JSON text,
//! byte for byte as Postgres prints it. A null member is left out. The order is kept, and so is a
//! name that is given twice, which the type `json` allows.

use std::borrow::Cow;
use std::fmt;
use std::str;

use serde::Deserializer as _;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Dropped, NameRefused};
use crate::event::InvalidBytea;
use crate::record::HeaderBuffer;

/// Appends a header for each member of the JSON object `text`, except those whose name `check` finds
/// taken, which are returned.
pub(super) fn write_object<'a>(
    text: &'a [u8],
    check: impl Fn(&str) -> Result<(), NameRefused>,
    headers: &mut HeaderBuffer,
) -> Result<Dropped<'a>, HeadersError> {
    // What the column holds when the application has nothing to add.
    if text == b"{}" {
        return Ok(Vec::new());
    }
    let text = str::from_utf8(text).map_err(|_| HeadersError::NotUtf8)?;
    // Looked at here because the parser would quote the value in its error.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(HeadersError::NotAnObject);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let members = Members { check, headers, dropped: Vec::new() };
    let dropped = json.deserialize_map(members).map_err(HeadersError::from_json)?;
    json.end().map_err(HeadersError::from_json)?;
    Ok(dropped)
}

/// A column that does not hold what a header can be made of.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeadersError {
    #[error("is not valid UTF-8")]
    NotUtf8,
    #[error("is not a JSON object")]
    NotAnObject,
    /// The cause, without the text itself.
    #[error("is not an object of headers: {0}")]
    Json(String),
    #[error("{0}")]
    Bytea(#[from] InvalidBytea),
}

impl HeadersError {
    #[expect(clippy::needless_pass_by_value, reason = "this is how map_err hands it over")]
    fn from_json(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

struct Members<'a, 'h, F> {
    check: F,
    headers: &'h mut HeaderBuffer,
    dropped: Dropped<'a>,
}

impl<'a, F: Fn(&str) -> Result<(), NameRefused>> Visitor<'a> for Members<'a, '_, F> {
    type Value = Dropped<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut members: M) -> Result<Self::Value, M::Error> {
        while let Some(Name(name)) = members.next_key()? {
            let value: &RawValue = members.next_value()?;
            match (self.check)(&name) {
                Ok(()) => push(&name, value.get(), self.headers)?,
                Err(refused @ NameRefused::Nul) => {
                    return Err(M::Error::custom(format_args!("a name {refused}")));
                }
                Err(NameRefused::Own | NameRefused::Mapped) => self.dropped.push(name),
            }
        }
        Ok(self.dropped)
    }
}

fn push<E: Error>(name: &str, json: &str, headers: &mut HeaderBuffer) -> Result<(), E> {
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => headers.push(name, plain.as_bytes()),
        Some(_) => {
            let text: String = serde_json::from_str(json).map_err(E::custom)?;
            headers.push(name, text.as_bytes());
        }
        None if json == "null" => {}
        None => headers.push(name, json.as_bytes()),
    }
    Ok(())
}

/// The name of a member: borrowed, unless it has escapes in it.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn anything(name: &str) -> Result<(), NameRefused> {
        if name.contains('\0') { Err(NameRefused::Nul) } else { Ok(()) }
    }

    fn written(text: &str) -> Result<Vec<(String, String)>, HeadersError> {
        let mut buffer = HeaderBuffer::default();
        write_object(text.as_bytes(), anything, &mut buffer)?;
        Ok(pairs(&buffer))
    }

    fn pairs(buffer: &HeaderBuffer) -> Vec<(String, String)> {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        buffer.as_headers().iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }

    fn one(value: &str) -> String {
        let mut headers = written(&format!(r#"{{"h": {value}}}"#)).unwrap();
        assert_eq!(headers.len(), 1, "{value}");
        headers.remove(0).1
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn an_empty_object_gives_no_header() {
        assert_eq!(written("{}"), Ok(Vec::new()));
        assert_eq!(written(" { } "), Ok(Vec::new()));
    }

    #[test]
    fn strings_are_sent_without_quotes_and_escapes() {
        assert_eq!(one(r#""00-4bf92f3577b34da6-01""#), "00-4bf92f3577b34da6-01");
        assert_eq!(one(r#""say \"hi\"\\\n\t\u00fc\ud83e\udd80/\/""#), "say \"hi\"\\\n\tü🦀//");
        assert_eq!(one(r#""Zürich 🦀""#), "Zürich 🦀");
        assert_eq!(one(r#""""#), "");
        assert_eq!(one(r#""\"""#), "\"");
    }

    #[test]
    fn everything_else_keeps_its_text() {
        for text in [
            "1.10",
            "-0",
            "1e400",
            "123456789012345678901234567890",
            "true",
            "false",
            r#"{"b": [1, 2.50, "x\u00fc"], "a": null}"#,
            "[ ]",
            r#"["a", {"b":"c"}]"#,
        ] {
            assert_eq!(one(text), text);
        }
    }

    #[test]
    fn null_is_left_out_and_the_order_is_kept() {
        let headers = written(r#"{"z": "1", "gone": null, "a": 2, "z": "3"}"#).unwrap();
        assert_eq!(headers, [pair("z", "1"), pair("a", "2"), pair("z", "3")]);
    }

    #[test]
    fn names_are_unescaped() {
        assert_eq!(written(r#"{"\u00fcber": 1}"#).unwrap()[0].0, "über");
        assert_eq!(written(r#"{"": 1}"#).unwrap()[0].0, "");
    }

    #[test]
    fn taken_names_are_dropped_and_told() {
        let mut buffer = HeaderBuffer::default();
        let text = br#"{"id": "x", "keep": "y", "i\u0064": null, "id ": "z"}"#;
        let not_id = |name: &str| if name == "id" { Err(NameRefused::Own) } else { Ok(()) };
        let dropped = write_object(text, not_id, &mut buffer).unwrap();
        assert_eq!(dropped, ["id", "id"]);
        assert_eq!(pairs(&buffer), [pair("keep", "y"), pair("id ", "z")]);
    }

    #[test]
    fn anything_but_an_object_of_headers_is_an_error() {
        for text in [
            "",
            "null",
            "[]",
            "1",
            r#""x""#,
            "{",
            r#"{"a"}"#,
            r#"{"a": }"#,
            r#"{"a": 1} x"#,
            r#"{"a": "\ud800"}"#,
            r#"{"a\u0000b": 1}"#,
        ] {
            assert!(written(text).is_err(), "{text}");
        }
        let mut buffer = HeaderBuffer::default();
        let error = write_object(b"{\"\xff\": 1}", anything, &mut buffer).unwrap_err();
        assert_eq!(error, HeadersError::NotUtf8);
    }

    #[test]
    fn an_error_does_not_quote_the_row() {
        for text in
            [r#""secret""#, r#"["secret"]"#, r#"{"secret": "secret\ud800"}"#, r#"{"secret"}"#]
        {
            let error = written(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-z\"\\\\]{0,4}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_reading_the_whole_object(
            object in prop::collection::btree_map("[a-zA-Zäö\"\\\\/\n]{0,6}", json(), 0..6),
            pretty: bool,
        ) {
            let value = serde_json::Value::Object(object.clone().into_iter().collect());
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let written = written(&text).unwrap();
            let present: Vec<_> = object.iter().filter(|(_, value)| !value.is_null()).collect();
            prop_assert_eq!(written.len(), present.len());
            for ((name, text), (expected_name, expected)) in written.iter().zip(present) {
                prop_assert_eq!(name, expected_name);
                match expected.as_str() {
                    Some(string) => prop_assert_eq!(text, string),
                    None => {
                        let read: serde_json::Value = serde_json::from_str(text).unwrap();
                        prop_assert_eq!(&read, expected);
                    }
                }
            }
        }

        #[test]
        fn never_panics(text: Vec<u8>, near in "[{}\\[\\]\":,a-c0-9\\\\u ]{0,40}") {
            let mut buffer = HeaderBuffer::default();
            let _ = write_object(&text, anything, &mut buffer);
            let _ = write_object(near.as_bytes(), anything, &mut buffer);
        }
    }
}
