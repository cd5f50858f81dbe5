//! The configuration as a whole, read from given inputs. The process's environment is never touched.

mod precedence;
mod printing;
mod problems;
mod secrets;

use std::fs;
use std::path::Path;

use outboxd_core::stop::Stop;
use tempfile::TempDir;

use super::{Config, Effective, Flags, Inputs};

/// Inputs whose file lives as long as they do.
struct Given {
    folder: TempDir,
    inputs: Inputs,
}

impl Given {
    /// What is needed to run, and nothing else.
    fn minimum() -> Self {
        Self::empty().flag("--database-url", "source.url", "postgres://app:hunter2@db/shop").flag(
            "--kafka",
            "kafka.bootstrap_servers",
            "kafka:9092",
        )
    }

    fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), inputs: Inputs::default() }
    }

    fn file(mut self, text: &str) -> Self {
        let path = self.path().join("outboxd.toml");
        fs::write(&path, text).unwrap();
        self.inputs.file = Some(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.inputs.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, name: &'static str, key: &'static str, value: &str) -> Self {
        let mut flags = std::mem::take(&mut self.inputs.flags);
        Flags::set(&mut flags, name, key, value);
        self.inputs.flags = flags;
        self
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn load(&self) -> Result<Config, Stop> {
        Config::load(&self.inputs)
    }

    fn config(&self) -> Config {
        self.load().unwrap()
    }

    /// The stop as text, with the temporary folder left out.
    fn stop(&self) -> String {
        let Stop { code, message, detail, hint } = self.load().unwrap_err();
        let detail = detail.map(|detail| format!("\ndetail: {detail}")).unwrap_or_default();
        let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        self.without_folder(&format!("error[{code}]: {message}{detail}{hint}"))
    }

    fn printed(&self) -> String {
        self.without_folder(&Effective::read(&self.inputs).unwrap().to_toml().unwrap())
    }

    fn without_folder(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.path().display()), "")
    }
}
