//! The walk over the JSON text, which copies each wanted value once and keeps nothing else.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::values::Values;
use super::{ContentError, VERSION};
use crate::relation::NamedColumn;

/// After an error, `fault` says what is wrong, unless the text is no JSON or of another form.
pub(super) fn read_document(
    text: &str,
    columns: &[NamedColumn],
    values: &mut Values,
    fault: &mut Option<ContentError>,
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    (&mut json).deserialize_map(Document(Reading { columns, values, fault }))?;
    json.end()
}

struct Reading<'r> {
    columns: &'r [NamedColumn],
    values: &'r mut Values,
    fault: &'r mut Option<ContentError>,
}

impl Reading<'_> {
    fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The message of the error itself is not shown.
    fn fail<T, E: Error>(&mut self, fault: ContentError) -> Result<T, E> {
        *self.fault = Some(fault);
        Err(E::custom("see the fault"))
    }
}

struct Document<'r>(Reading<'r>);

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut members: M) -> Result<(), M::Error> {
        let mut seen = [false; MEMBERS.len()];
        while let Some(Name(name)) = members.next_key()? {
            let Some(index) = MEMBERS.iter().position(|member| *member == name) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut seen[index], true) {
                return self.0.fail(ContentError::Twice(name.into_owned()));
            }
            match MEMBERS[index] {
                V => self.check_version(members.next_value()?)?,
                ROW => members.next_value_seed(Row(self.reading()))?,
                _ => members.next_value_seed(ByteaNames(self.reading()))?,
            }
        }
        match [V, ROW].into_iter().zip(seen).find(|(_, seen)| !seen) {
            Some((member, _)) => self.0.fail(ContentError::Lacks(member)),
            None => Ok(()),
        }
    }
}

impl Document<'_> {
    fn check_version<E: Error>(&mut self, version: u64) -> Result<(), E> {
        if version == VERSION { Ok(()) } else { self.0.fail(ContentError::Version(version)) }
    }

    fn reading(&mut self) -> Reading<'_> {
        let Reading { columns, values, fault } = &mut self.0;
        Reading { columns, values, fault }
    }
}

struct Row<'r>(Reading<'r>);

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut members: M) -> Result<(), M::Error> {
        while let Some(Name(name)) = members.next_key()? {
            let Some(position) = self.0.position(&name) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.0.values.is_given(position) {
                return self.0.fail(ContentError::Twice(name.into_owned()));
            }
            let Reading { columns, values, fault } = &mut self.0;
            let column = &columns[position];
            members.next_value_seed(Column { column, position, values, fault })?;
        }
        Ok(())
    }
}

/// The value of one column.
struct Column<'r> {
    column: &'r NamedColumn,
    position: usize,
    values: &'r mut Values,
    fault: &'r mut Option<ContentError>,
}

impl<'de> DeserializeSeed<'de> for Column<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Column<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or null")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.values.set_text(self.position, text);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.values.set_null(self.position);
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.not_text()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.not_text()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.not_text()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.not_text()
    }

    fn visit_seq<S: SeqAccess<'de>>(self, _: S) -> Result<(), S::Error> {
        self.not_text()
    }

    fn visit_map<M: MapAccess<'de>>(self, _: M) -> Result<(), M::Error> {
        self.not_text()
    }
}

impl Column<'_> {
    fn not_text<E: Error>(self) -> Result<(), E> {
        *self.fault = Some(ContentError::NotText(self.column.name.clone()));
        Err(E::custom("see the fault"))
    }
}

struct ByteaNames<'r>(Reading<'r>);

impl<'de> DeserializeSeed<'de> for ByteaNames<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ByteaNames<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut names: S) -> Result<(), S::Error> {
        while let Some(Name(name)) = names.next_element()? {
            if let Some(position) = self.0.position(&name) {
                self.0.values.mark_bytea(position);
            }
        }
        Ok(())
    }
}

/// Borrowed, unless it has escapes in it.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The required ones first.
const MEMBERS: [&str; 3] = [V, ROW, "bytea"];
const V: &str = "v";
const ROW: &str = "row";
