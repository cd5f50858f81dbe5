//! The value of an event, and what a column can hold of it.

use std::fmt;
use std::str;

use serde::Serialize;
use serde::de::IgnoredAny;

use super::error::EncodeError;
use super::jsonb;

/// An encoded payload. `Debug` shows its length only.
#[derive(Clone, PartialEq)]
pub struct Payload(Content);

#[derive(Clone, PartialEq)]
enum Content {
    None,
    /// Written by serde, so it is JSON.
    Json(Vec<u8>),
    Bytes(Vec<u8>),
}

/// The type of the payload column.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PayloadType {
    /// JSON, printed by Postgres in its own way: other spaces, keys in another order, numbers without
    /// exponents. The last of equal keys is kept.
    #[default]
    Jsonb,
    /// JSON, byte for byte.
    Json,
    /// UTF-8 without NUL characters; `varchar` too.
    Text,
    /// Anything.
    Bytea,
}

impl Payload {
    /// A null value.
    pub const fn none() -> Self {
        Self(Content::None)
    }

    /// JSON.
    ///
    /// # Errors
    /// [`EncodeError::Serialize`] when serde cannot write the value as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        serde_json::to_vec(value).map(|text| Self(Content::Json(text))).map_err(Into::into)
    }

    /// Any bytes; whether the column takes them is checked when the event is appended.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Content::Bytes(bytes.into()))
    }

    /// What the column is given, and the bytes that it will print of it, at most.
    pub(super) fn into_column(self, column: PayloadType) -> Result<Column, EncodeError> {
        let (bytes, is_json) = match self.0 {
            Content::None => return Ok(Column { bytes: None, printed: 0 }),
            Content::Json(bytes) => (bytes, true),
            Content::Bytes(bytes) => (bytes, false),
        };
        let printed = match column {
            PayloadType::Bytea => bytes.len(),
            _ => printed(&bytes, is_json, column)?,
        };
        Ok(Column { bytes: Some(bytes), printed })
    }
}

/// A payload that its column takes.
#[derive(Debug)]
pub(super) struct Column {
    /// UTF-8, unless the column is `bytea`.
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) printed: usize,
}

fn printed(bytes: &[u8], is_json: bool, column: PayloadType) -> Result<usize, EncodeError> {
    let text = str::from_utf8(bytes).map_err(|_| EncodeError::NotUtf8 { column })?;
    if column == PayloadType::Text {
        let nul = text.contains('\0').then_some(EncodeError::Nul { column });
        return nul.map_or(Ok(text.len()), Err);
    }
    if !is_json {
        let _: IgnoredAny =
            serde_json::from_str(text).map_err(|source| EncodeError::NotJson { column, source })?;
    }
    if column == PayloadType::Jsonb { Ok(jsonb::printed_bytes(text)?) } else { Ok(text.len()) }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::None => f.write_str("none"),
            Content::Json(text) => write!(f, "{} bytes of JSON", text.len()),
            Content::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jsonb => "jsonb",
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytea => "bytea",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PayloadType::*;
    use super::*;

    fn taken(payload: Payload, column: PayloadType) -> Result<usize, String> {
        payload.into_column(column).map(|column| column.printed).map_err(|error| error.to_string())
    }

    #[test]
    fn each_column_takes_what_it_can_hold() {
        let spaced = || Payload::bytes(r#" {"a":[1,2]} "#);
        assert_eq!(taken(spaced(), Jsonb), Ok(r#"{"a": [1, 2]}"#.len()));
        assert_eq!(taken(spaced(), Json), Ok(13));
        assert_eq!(taken(spaced(), Text), Ok(13));
        for column in [Jsonb, Json] {
            for text in ["", "{", "nul", "{\"a\":1}x", "'a'", "01", "\"\n\""] {
                let error = taken(Payload::bytes(text), column).unwrap_err();
                assert_eq!(error, format!("the payload is not JSON, and its column is {column}"));
            }
        }
        for column in [Jsonb, Json, Text] {
            let error = taken(Payload::bytes(b"\"\xff\""), column).unwrap_err();
            assert_eq!(error, format!("the payload is not UTF-8, and its column is {column}"));
            assert_eq!(taken(Payload::none(), column), Ok(0));
        }
        assert!(taken(Payload::bytes("a\0"), Text).is_err());
        assert_eq!(taken(Payload::bytes(b"\xff\0"), Bytea), Ok(2));
    }

    #[test]
    fn what_serde_wrote_is_checked_for_what_jsonb_refuses() {
        assert!(taken(Payload::json("a\0b").unwrap(), Jsonb).is_err());
        assert_eq!(taken(Payload::json("a\0b").unwrap(), Json), Ok(10));
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(Payload::json(&keys), Err(EncodeError::Serialize(_))));
    }
}
