//! The effective configuration as TOML: every key, each with where it came from, secrets masked.

use super::origin::Origin;

/// One key as it was read. No value: not set, and there is no default.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: Option<toml::Value>,
    pub(super) origin: Origin,
}

/// What it prints reads back as the same configuration, except for the secrets.
pub(super) fn to_toml(entries: &[Entry]) -> String {
    let mut text = String::new();
    for section in sections(entries) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{section}]\n"));
        for entry in entries.iter().filter(|entry| entry.section == section) {
            text.push_str(&line(entry));
        }
    }
    text
}

/// In the order in which they were first read.
fn sections(entries: &[Entry]) -> Vec<&str> {
    let mut sections = Vec::new();
    for entry in entries {
        if !sections.contains(&entry.section.as_str()) {
            sections.push(entry.section.as_str());
        }
    }
    sections
}

fn line(Entry { key, value, origin, .. }: &Entry) -> String {
    match value {
        Some(value) => format!("{key} = {value} # {origin}\n"),
        None => format!("# {key} is not set\n"),
    }
}
