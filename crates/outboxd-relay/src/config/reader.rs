//! Walks the merged values by name. Whatever a section asks for is known, whatever nobody asked for
//! is an unknown key: the code that reads the configuration is its only schema.
//!
//! A problem does not end the reading; it is noted, and a stand-in goes on in its place. No value
//! read while there are problems reaches a caller.

use std::collections::{BTreeMap, BTreeSet};

use config::{Value, ValueKind};

use super::layers::{self, PREFIX, SEPARATOR, Table};
use super::nearest::nearest;
use super::origin::Origin;
use super::print::Entry;
use super::problem::Problem;
use super::section::Section;

pub(super) struct Reader {
    root: Value,
    sections: BTreeSet<String>,
    keys: BTreeSet<String>,
    pub(super) entries: Vec<Entry>,
    /// What nobody can run with, or even print.
    pub(super) problems: Vec<Problem>,
    /// What is needed to run, but not to show the configuration.
    pub(super) missing: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(root: Table) -> Self {
        Self {
            root: Value::new(None, root),
            sections: BTreeSet::new(),
            keys: BTreeSet::new(),
            entries: Vec::new(),
            problems: Vec::new(),
            missing: Vec::new(),
        }
    }

    pub(super) fn section(&mut self, path: &str) -> Section<'_> {
        self.sections.insert(path.to_owned());
        if let Some(value) = self.find(path).filter(|value| !is_table(value)) {
            let problem = Problem::new(format!("`{path}` is a section, not a value"))
                .at(origin(value))
                .hint(format!("write its keys under [{path}]"));
            self.problems.push(problem);
        }
        Section::new(self, path.to_owned())
    }

    /// The value at a path, which is known from now on.
    pub(super) fn take(&mut self, path: &str) -> Option<Value> {
        self.keys.insert(path.to_owned());
        self.find(path).cloned()
    }

    pub(super) fn find(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.root, |value, key| match &value.kind {
            ValueKind::Table(table) => table.get(key),
            _ => None,
        })
    }

    /// To be called when every section was read.
    pub(super) fn note_unknown_keys(&mut self, environment: &BTreeMap<String, String>) {
        let mut unknown = Vec::new();
        self.collect_unknown(&self.root, "", &mut unknown);
        unknown.extend(self.misnamed_variables(environment));
        self.problems.append(&mut unknown);
    }

    fn collect_unknown(&self, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        let ValueKind::Table(table) = &value.kind else { return };
        for (key, value) in table.iter().collect::<BTreeMap<_, _>>() {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if self.sections.contains(&inner) {
                self.collect_unknown(value, &inner, problems);
            } else if !self.keys.contains(&inner) {
                problems.push(self.unknown(&inner, value));
            }
        }
    }

    fn unknown(&self, path: &str, value: &Value) -> Problem {
        let kind = if is_table(value) { "section" } else { "key" };
        let origin = origin(value);
        let problem = Problem::new(format!("unknown {kind} `{path}`")).at(origin.clone());
        let Some(meant) = nearest(path, self.sections.union(&self.keys)) else { return problem };
        match origin {
            Some(Origin::Variable(_)) => {
                problem.hint(format!("did you mean `{meant}` ({})?", layers::variable_name(meant)))
            }
            _ => problem.hint(format!("did you mean `{meant}`?")),
        }
    }

    /// `OUTBOXD_KAFKA_LINGER` would otherwise be ignored without a word.
    fn misnamed_variables(&self, environment: &BTreeMap<String, String>) -> Vec<Problem> {
        let single = |name: &str| name.replace(SEPARATOR, "_");
        let known: BTreeMap<String, String> = self
            .keys
            .iter()
            .map(|path| layers::variable_name(path))
            .map(|name| (single(&name), name))
            .collect();
        let ours = environment.keys().filter(|name| name.starts_with(PREFIX));
        let misnamed = ours.filter(|name| !name.contains(SEPARATOR));
        let meant = misnamed.filter_map(|name| Some((name, known.get(name)?)));
        meant
            .map(|(name, meant)| {
                Problem::new(format!("unknown environment variable {name}"))
                    .hint(format!("did you mean {meant}, with two underscores?"))
            })
            .collect()
    }
}

/// Merging makes tables anew, so a section stands where the first of its keys does.
pub(super) fn origin(value: &Value) -> Option<Origin> {
    match &value.kind {
        ValueKind::Table(table) if value.origin().is_none() => {
            table.iter().min_by_key(|(key, _)| *key).and_then(|(_, inner)| origin(inner))
        }
        _ => value.origin().map(Origin::parse),
    }
}

fn is_table(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Table(_))
}
