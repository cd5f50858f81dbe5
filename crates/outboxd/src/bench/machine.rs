//! What figures are worth nothing without: the machine and the versions.

use std::fmt;
use std::fs;
use std::thread;

use serde::Serialize;

use super::figures::number;

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    system: String,
    kernel: String,
    /// Of the last minute, before the first measurement.
    load: String,
    outboxd: &'static str,
    build: &'static str,
    librdkafka: String,
    postgres: Option<String>,
    kafka: Option<String>,
    /// Names of variables that change the relay under measurement.
    settings: Vec<String>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name", ':'),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kibibytes(&field(&read("/proc/meminfo"), "MemTotal", ':')) / 1_048_576.0,
            system: field(&read("/etc/os-release"), "PRETTY_NAME", '=').replace('"', ""),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            outboxd: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug: figures mean nothing" } else { "release" },
            librdkafka,
            postgres: None,
            kafka: None,
            settings: settings(),
        }
    }

    pub(crate) fn has_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    pub(crate) fn set_postgres(&mut self, version: String) {
        self.postgres = Some(version);
    }

    pub(crate) fn set_kafka(&mut self, version: String) {
        self.kafka = Some(version);
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, system, kernel, load, outboxd, build, librdkafka, .. } = self;
        let memory = number(self.memory_gib, 0);
        let version = |version: &Option<String>| version.clone().unwrap_or("not used".to_owned());
        writeln!(f, "Machine: {cores} × {processor}, {memory} GiB, load {load}")?;
        writeln!(f, "System: {system}, Linux {kernel}")?;
        writeln!(f, "outboxd {outboxd} ({build}), librdkafka {librdkafka}")?;
        writeln!(f, "Postgres {}, Kafka {}", version(&self.postgres), version(&self.kafka))?;
        if !self.settings.is_empty() {
            writeln!(f, "Set in the environment: {}", self.settings.join(", "))?;
        }
        Ok(())
    }
}

/// Relays inherit them, which is how settings are compared.
fn settings() -> Vec<String> {
    let ours = |name: &str| name.starts_with("OUTBOXD_") && name.contains("__");
    let mut names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| ours(name))
        .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
        .collect();
    names.sort();
    names
}

/// The first value of that name in lines of `name<separator>value`.
fn field(text: &str, name: &str, separator: char) -> String {
    let pairs = text.lines().filter_map(|line| line.split_once(separator));
    let mut values = pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    values.next().unwrap_or("unknown").to_owned()
}

fn kibibytes(value: &str) -> f64 {
    value.trim_end_matches("kB").trim().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: A CPU\nprocessor\t: 1\nmodel name\t: Another\n";
        assert_eq!(field(text, "model name", ':'), "A CPU");
        assert_eq!(field("A=1\nPRETTY_NAME=\"Linux 12\"\n", "PRETTY_NAME", '='), "\"Linux 12\"");
        assert_eq!(field("", "x", ':'), "unknown");
        assert_eq!(kibibytes("24682496 kB"), 24_682_496.0);
    }
}
