//! Lays file, environment and flags over each other into one tree of values, each of which
//! remembers where it came from. Defaults are not here: they stand where a key is read.

use std::collections::BTreeMap;

use config::{Config, Map, Source, Value, ValueKind};
use outboxd_core::stop::{Code, Stop};

use super::file;
use super::inputs::{Flags, Inputs};
use super::origin::Origin;

pub(super) type Table = Map<String, Value>;

pub(super) fn merge(inputs: &Inputs) -> Result<Table, Stop> {
    let file = match &inputs.file {
        Some(path) => file::read(path, &inputs.environment)?,
        None => Table::new(),
    };
    let merged = Config::builder()
        .add_source(Layer(file))
        .add_source(Layer(environment(&inputs.environment)))
        .add_source(Layer(flags(&inputs.flags)))
        .build()
        .and_then(|config| config.cache.into_table());
    merged.map_err(|error| Stop::new(Code::Internal, error.to_string()))
}

/// `OUTBOXD_SECTION__KEY`. Variables without `__` are not configuration: some are for other parts,
/// and Kubernetes invents names like `OUTBOXD_PORT` for a service of that name. Empty ones count
/// as unset, because compose files produce them from what was never set.
fn environment(variables: &BTreeMap<String, String>) -> Table {
    let mut table = Table::new();
    if let Some(url) = variables.get("DATABASE_URL").filter(|url| !url.is_empty()) {
        insert(&mut table, &["source".to_owned(), "url".to_owned()], variable("DATABASE_URL", url));
    }
    for (name, text) in variables {
        let Some(path) = variable_path(name).filter(|_| !text.is_empty()) else { continue };
        insert(&mut table, &path, variable(name, text));
    }
    table
}

fn variable_path(name: &str) -> Option<Vec<String>> {
    let path = name.strip_prefix(PREFIX).filter(|rest| rest.contains(SEPARATOR))?;
    Some(path.split(SEPARATOR).map(str::to_lowercase).collect())
}

/// The name of the environment variable for a key such as `kafka.linger`.
pub(super) fn variable_name(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', SEPARATOR).to_uppercase())
}

fn variable(name: &str, text: &str) -> Value {
    Value::new(Some(&Origin::Variable(name.to_owned()).to_string()), text)
}

fn flags(flags: &Flags) -> Table {
    let mut table = Table::new();
    for flag in flags.iter() {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        insert(&mut table, &path, flag.value.clone());
    }
    table
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    let [key, rest @ ..] = path else { return };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let origin = value.origin().map(str::to_owned);
    let inner = table.entry(key.clone()).or_insert_with(|| empty_table(origin.as_ref()));
    if !matches!(inner.kind, ValueKind::Table(_)) {
        *inner = empty_table(origin.as_ref());
    }
    if let ValueKind::Table(inner) = &mut inner.kind {
        insert(inner, rest, value);
    }
}

fn empty_table(origin: Option<&String>) -> Value {
    Value::new(origin, Table::new())
}

/// One layer, already parsed.
#[derive(Clone)]
struct Layer(Table);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Says nothing of the values, which may be secrets.
impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").finish_non_exhaustive()
    }
}

pub(super) const PREFIX: &str = "OUTBOXD_";
pub(super) const SEPARATOR: &str = "__";
