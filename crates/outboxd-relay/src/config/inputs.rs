//! What a configuration is read from: flags, environment and file, in falling precedence.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use config::{Value, ValueKind};
use outboxd_core::stop::{Code, Stop};

use super::origin::Origin;

#[derive(Clone, Default)]
pub struct Inputs {
    /// `--config` or `OUTBOXD_CONFIG`.
    pub file: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
    pub flags: Flags,
}

impl Inputs {
    /// With the environment of this process. Only variables that are ours have to be text.
    pub fn from_process(file: Option<PathBuf>, flags: Flags) -> Result<Self, Stop> {
        let mut environment = BTreeMap::new();
        for (name, value) in env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(environment.insert(name, value)),
                (Ok(name), Err(_)) if is_ours(&name) => return Err(not_text(&name)),
                _ => {}
            }
        }
        Ok(Self { file, environment, flags })
    }
}

/// Values given on the command line.
#[derive(Clone, Default)]
pub struct Flags(Vec<Flag>);

#[derive(Clone)]
pub(super) struct Flag {
    pub(super) key: &'static str,
    pub(super) value: Value,
}

impl Flags {
    /// `name` as the user typed it (`--kafka`), `key` as in the file (`kafka.bootstrap_servers`).
    pub fn set(&mut self, name: &'static str, key: &'static str, value: impl Into<ValueKind>) {
        let origin = Origin::Flag(name.to_owned()).to_string();
        self.0.push(Flag { key, value: Value::new(Some(&origin), value) });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flag> {
        self.0.iter()
    }
}

fn is_ours(name: &str) -> bool {
    name == "DATABASE_URL" || name.starts_with("OUTBOXD_")
}

fn not_text(name: &str) -> Stop {
    Stop::new(Code::Config, format!("the environment variable {name} is not valid UTF-8"))
}
