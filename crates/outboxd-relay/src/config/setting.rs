//! How one value is read from a configuration and printed again.
//!
//! The environment knows only text, so every type can be read from text as well as from its TOML
//! type.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};

use super::byte_size::ByteSize;
use super::substitute::escape;

pub(super) trait Setting: Sized {
    /// A wrong value may be shown. Not where it could hold a secret.
    const SHOWN: bool = true;

    /// Ends the sentence "must be …".
    fn expected() -> String;

    /// `None`: the value cannot be read as this.
    fn parse(value: &Value) -> Option<Self>;

    fn print(&self) -> toml::Value;

    /// Why this version does not accept the value, though it is one.
    fn not_yet(&self) -> Option<&'static str> {
        None
    }
}

/// A value out of a fixed list of names.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn not_yet(self) -> Option<&'static str> {
        None
    }
}

impl<T: Choice> Setting for T {
    fn expected() -> String {
        let names: Vec<String> = Self::ALL.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!("one of {}", names.join(", "))
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = text(value)?;
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
    }

    fn print(&self) -> toml::Value {
        let name = Self::ALL.iter().find(|(_, value)| value == self).map(|(name, _)| *name);
        toml::Value::from(name.expect("every variant is listed"))
    }

    fn not_yet(&self) -> Option<&'static str> {
        Choice::not_yet(*self)
    }
}

impl Setting for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        match &value.kind {
            ValueKind::Boolean(value) => Some(*value),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn print(&self) -> toml::Value {
        toml::Value::Boolean(*self)
    }
}

impl Setting for NonZeroU32 {
    fn expected() -> String {
        format!("a whole number from 1 to {}", u32::MAX)
    }

    fn parse(value: &Value) -> Option<Self> {
        Self::new(integer(value)?.try_into().ok()?)
    }

    fn print(&self) -> toml::Value {
        toml::Value::Integer(self.get().into())
    }
}

impl Setting for NonZeroU16 {
    fn expected() -> String {
        format!("a whole number from 1 to {}", u16::MAX)
    }

    fn parse(value: &Value) -> Option<Self> {
        Self::new(integer(value)?.try_into().ok()?)
    }

    fn print(&self) -> toml::Value {
        toml::Value::Integer(self.get().into())
    }
}

impl Setting for String {
    fn expected() -> String {
        "text".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        text(value).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn print(&self) -> toml::Value {
        toml::Value::String(escape(self))
    }
}

impl Setting for PathBuf {
    fn expected() -> String {
        "the path of a file".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        String::parse(value).map(Self::from)
    }

    fn print(&self) -> toml::Value {
        toml::Value::String(escape(&self.to_string_lossy()))
    }
}

impl Setting for Duration {
    fn expected() -> String {
        "a duration such as \"10s\" or \"100ms\"".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        humantime::parse_duration(text(value)?).ok()
    }

    fn print(&self) -> toml::Value {
        toml::Value::String(humantime::format_duration(*self).to_string())
    }
}

impl Setting for ByteSize {
    fn expected() -> String {
        "a size such as \"32MiB\" (B, KiB, MiB, GiB, kB, MB, GB)".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        text(value)?.parse().ok()
    }

    fn print(&self) -> toml::Value {
        toml::Value::String(self.to_string())
    }
}

/// As text: separated by commas.
impl<T: Setting> Setting for Vec<T> {
    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn parse(value: &Value) -> Option<Self> {
        match &value.kind {
            ValueKind::Array(values) => values.iter().map(T::parse).collect(),
            ValueKind::String(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| T::parse(&Value::from(item))).collect()
            }
            _ => None,
        }
    }

    fn print(&self) -> toml::Value {
        toml::Value::Array(self.iter().map(T::print).collect())
    }
}

/// As text: `name=value` pairs separated by commas. A dotted name that TOML took for nested
/// tables (`queue.buffering.max.ms = 5`) is put together again.
impl Setting for BTreeMap<String, String> {
    const SHOWN: bool = false;

    fn expected() -> String {
        "a table of names and values, or \"name=value,…\"".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        let mut map = Self::new();
        match &value.kind {
            ValueKind::Table(table) => flatten(table, "", &mut map)?,
            ValueKind::String(text) => {
                for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
                    let (name, value) = pair.split_once('=')?;
                    map.insert(name.trim().to_owned(), value.trim().to_owned());
                }
            }
            _ => return None,
        }
        Some(map)
    }

    fn print(&self) -> toml::Value {
        let pairs = self.iter().map(|(name, value)| (name.clone(), value.print()));
        toml::Value::Table(pairs.collect())
    }
}

fn flatten(
    table: &config::Map<String, Value>,
    prefix: &str,
    map: &mut BTreeMap<String, String>,
) -> Option<()> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match &value.kind {
            ValueKind::Table(inner) => flatten(inner, &format!("{name}."), map)?,
            ValueKind::Array(_) | ValueKind::Nil => return None,
            scalar => drop(map.insert(name, scalar.to_string())),
        }
    }
    Some(())
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match &value.kind {
        ValueKind::I64(number) => Some(*number),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Says what a value is, for the sentence "not …". Tables and lists are not spelled out.
pub(super) fn describe(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) if text.is_empty() => "empty".to_owned(),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        scalar => scalar.to_string(),
    }
}
