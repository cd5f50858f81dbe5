//! One section of the configuration: hands out its values by key and notes what it handed out.

use std::path::PathBuf;
use std::time::Duration;

use config::Value;
use secrecy::SecretString;

use super::origin::Origin;
use super::print::Entry;
use super::problem::Problem;
use super::reader::{Reader, origin};
use super::secret::Secret;
use super::setting::{Setting, describe, text};

pub(super) struct Section<'r> {
    reader: &'r mut Reader,
    path: String,
}

impl<'r> Section<'r> {
    pub(super) fn new(reader: &'r mut Reader, path: String) -> Self {
        Self { reader, path }
    }

    pub(super) fn section(&mut self, key: &str) -> Section<'_> {
        let path = self.path_of(key);
        self.reader.section(&path)
    }

    pub(super) fn value<T: Setting>(&mut self, key: &str, default: T) -> T {
        let (value, origin) = self.read(key).unwrap_or((default, Origin::Default));
        self.show(key, Some(value.print()), origin);
        value
    }

    pub(super) fn optional<T: Setting>(&mut self, key: &str) -> Option<T> {
        self.or_derived(key, None)
    }

    /// With a default worked out from other values, when they are there.
    pub(super) fn or_derived<T: Setting>(&mut self, key: &str, derived: Option<T>) -> Option<T> {
        let derived = derived.map(|value| (value, Origin::Derived));
        let found = self.read::<T>(key).or(derived);
        let origin = found.as_ref().map_or(Origin::Default, |(_, origin)| origin.clone());
        let (printed, value) = match found {
            Some((value, _)) => (Some(value.print()), Some(value)),
            None => (None, None),
        };
        self.show(key, printed, origin);
        value
    }

    /// A file that is read when connecting; that it is there is checked now.
    pub(super) fn file(&mut self, key: &str) -> Option<PathBuf> {
        let path: PathBuf = self.optional(key)?;
        if let Err(error) = std::fs::File::open(&path) {
            let text = format!("`{}`: cannot open {}: {error}", self.path_of(key), path.display());
            self.missing(key, &text, "check the path, and who may read the file");
        }
        Some(path)
    }

    /// A secret, given as `key` or by the path of a file as `key_file`. `mask` says how to show it.
    pub(super) fn secret(&mut self, key: &str, mask: fn(&str) -> String) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let value = self.reader.take(&self.path_of(key));
        let file = self.reader.take(&self.path_of(&file_key));
        match self.prefer(key, value, file) {
            (Some(value), _) => self.secret_value(key, &value, mask),
            (None, Some(_)) => self.secret_file(&file_key),
            (None, None) => {
                self.show(key, None, Origin::Default);
                None
            }
        }
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.reader.find(&self.path_of(key)).is_some()
    }

    pub(super) fn problem(&mut self, key: &str, text: &str, hint: &str) {
        let problem = Problem::new(text).at(self.origin_of(key)).hint(hint);
        self.reader.problems.push(problem);
    }

    /// Needed to run, not to show the configuration.
    pub(super) fn missing(&mut self, key: &str, text: &str, hint: &str) {
        let problem = Problem::new(text).at(self.origin_of(key)).hint(hint);
        self.reader.missing.push(problem);
    }

    pub(super) fn at_least(&mut self, key: &str, value: Duration, least: Duration) {
        if value < least {
            let least = humantime::format_duration(least);
            let text = format!("`{}` must be at least {least}", self.path_of(key));
            self.problem(key, &text, &format!("set it to {least} or more, or leave it out"));
        }
    }

    fn read<T: Setting>(&mut self, key: &str) -> Option<(T, Origin)> {
        let path = self.path_of(key);
        let raw = self.reader.take(&path)?;
        let Some(value) = T::parse(&raw) else {
            let found = if T::SHOWN { format!(", not {}", describe(&raw)) } else { String::new() };
            let text = format!("`{path}` must be {}{found}", T::expected());
            self.reader.problems.push(Problem::new(text).at(origin(&raw)));
            return None;
        };
        if let Some(hint) = value.not_yet() {
            let text = format!("`{path} = {}` is not in this version yet", value.print());
            self.problem(key, &text, hint);
        }
        Some((value, origin(&raw).unwrap_or(Origin::Default)))
    }

    /// The twin from the higher layer. Within one layer there is no telling which was meant.
    fn prefer(
        &mut self,
        key: &str,
        value: Option<Value>,
        file: Option<Value>,
    ) -> (Option<Value>, Option<Value>) {
        let (Some(value), Some(file)) = (&value, &file) else { return (value, file) };
        let (value_origin, file_origin) = (origin(value), origin(file));
        let same = matches!((&value_origin, &file_origin), (Some(a), Some(b)) if a.same_layer(b));
        if same {
            let path = self.path_of(key);
            let text = format!("both `{path}` and `{path}_file` are given");
            self.problem(key, &text, "keep one of the two");
        }
        if value_origin >= file_origin {
            (Some(value.clone()), None)
        } else {
            (None, Some(file.clone()))
        }
    }

    fn secret_value(
        &mut self,
        key: &str,
        value: &Value,
        mask: fn(&str) -> String,
    ) -> Option<Secret> {
        let Some(secret) = text(value).filter(|text| !text.is_empty()) else {
            let text = format!("`{}` must be text, and not empty", self.path_of(key));
            self.reader.problems.push(Problem::new(text).at(origin(value)));
            return None;
        };
        let shown = toml::Value::String(mask(secret));
        self.show(key, Some(shown), origin(value).unwrap_or(Origin::Default));
        Some(Secret::Value(SecretString::from(secret)))
    }

    fn secret_file(&mut self, key: &str) -> Option<Secret> {
        let (path, origin): (PathBuf, _) = self.read(key)?;
        self.show(key, Some(path.print()), origin);
        let secret = Secret::File(path);
        if let Err(error) = secret.read() {
            let text = format!("`{}`: {error}", self.path_of(key));
            self.missing(key, &text, "check the path, and who may read the file");
        }
        Some(secret)
    }

    fn show(&mut self, key: &str, value: Option<toml::Value>, origin: Origin) {
        let section = self.path.clone();
        self.reader.entries.push(Entry { section, key: key.to_owned(), value, origin });
    }

    fn origin_of(&self, key: &str) -> Option<Origin> {
        self.reader.find(&self.path_of(key)).and_then(origin)
    }

    fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }
}
