//! The configuration file: TOML, with variables replaced in its text values.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use config::{Value, ValueKind};
use outboxd_core::stop::{Code, Stop};
use toml::de::{DeTable, DeValue};

use super::layers::Table;
use super::origin::Origin;
use super::problem::{self, Problem};
use super::substitute::substitute;

pub(super) fn read(path: &Path, environment: &BTreeMap<String, String>) -> Result<Table, Stop> {
    let text = read_bounded(path).map_err(|error| unreadable(path, &error))?;
    let name = path.display().to_string();
    let parsed = DeTable::parse(&text).map_err(|error| unparsable(&name, &text, &error))?;
    let mut reader = FileReader { name, text: &text, environment, problems: Vec::new() };
    let table = reader.table(parsed.get_ref(), "");
    match problem::stop(&reader.problems.iter().collect::<Vec<_>>()) {
        Some(stop) => Err(stop),
        None => Ok(table),
    }
}

struct FileReader<'a> {
    name: String,
    text: &'a str,
    environment: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl FileReader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Table {
        let mut result = Table::new();
        for (key, value) in table {
            let inner = if path.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{path}.{}", key.get_ref())
            };
            let origin = self.origin(key.span().start);
            result.insert(key.get_ref().to_string(), self.value(value.get_ref(), &inner, &origin));
        }
        result
    }

    fn value(&mut self, value: &DeValue<'_>, path: &str, origin: &Origin) -> Value {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(self.text(text, path, origin)),
            DeValue::Boolean(value) => ValueKind::Boolean(*value),
            DeValue::Integer(number) => integer(number.as_str(), number.radix()),
            DeValue::Float(number) => float(number.as_str()),
            DeValue::Datetime(datetime) => ValueKind::String(datetime.to_string()),
            DeValue::Array(values) => {
                let values = values.iter().map(|value| self.value(value.get_ref(), path, origin));
                ValueKind::Array(values.collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(table, path)),
        };
        Value::new(Some(&origin.to_string()), kind)
    }

    fn text(&mut self, text: &str, path: &str, origin: &Origin) -> String {
        if LITERAL.contains(&path) {
            return text.to_owned();
        }
        substitute(text, self.environment).unwrap_or_else(|error| {
            let problem = Problem::new(format!("`{path}`: {error}"))
                .at(Some(origin.clone()))
                .hint(error.hint());
            self.problems.push(problem);
            String::new()
        })
    }

    fn origin(&self, offset: usize) -> Origin {
        let (line, _) = line_and_column(self.text, offset);
        Origin::File(format!("{}:{line}", self.name))
    }
}

/// A number past 64 bits is left as text, and refused where it is read.
fn integer(digits: &str, radix: u32) -> ValueKind {
    i64::from_str_radix(digits, radix)
        .map_or_else(|_| ValueKind::String(digits.to_owned()), ValueKind::I64)
}

fn float(digits: &str) -> ValueKind {
    digits.parse().map_or_else(|_| ValueKind::String(digits.to_owned()), ValueKind::Float)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Stop {
    let message = format!("cannot read the configuration file {}", path.display());
    Stop::new(Code::Config, message)
        .detail(error.to_string())
        .hint("check the path given by --config or OUTBOXD_CONFIG, and who may read it")
}

/// The parser's own text would show the line, which may hold a password.
fn unparsable(name: &str, text: &str, error: &toml::de::Error) -> Stop {
    let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    Stop::new(Code::Config, format!("the configuration file {name} is not valid TOML"))
        .detail(format!("line {line}, column {column}: {message}"))
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

/// Text whose `${…}` is a language of its own: the names in a topic template are columns, not
/// environment variables.
const LITERAL: [&str; 1] = ["topic.template"];

const FILE_BYTES_MAX: u64 = 1024 * 1024;
