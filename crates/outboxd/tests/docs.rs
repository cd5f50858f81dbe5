//! The documentation is held against the program, so that neither changes alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use outboxd_core::stop::Code;

/// One line of `config print`.
struct Key {
    section: String,
    name: String,
    /// As TOML; `None` when it is not set.
    default: Option<String>,
}

#[test]
fn every_key_is_documented_with_its_default() {
    let text = read("configuration.md");
    for Key { section, name, default } in keys() {
        let row = row(section_of(&text, &section), &name)
            .unwrap_or_else(|| panic!("[{section}] {name} is not in docs/configuration.md"));
        let documented = row.split('|').nth(2).unwrap_or_default().trim();
        match default {
            Some(default) => assert_eq!(documented, format!("`{default}`"), "[{section}] {name}"),
            // Not set, required, or worked out from other keys.
            None => assert!(
                documented.starts_with("not set")
                    || documented.starts_with("none")
                    || documented.starts_with("the value of")
                    || documented.contains('<'),
                "[{section}] {name} has no default, not {documented}"
            ),
        }
    }
}

#[test]
fn no_key_is_documented_that_does_not_exist() {
    let text = read("configuration.md");
    let keys = keys();
    let mut section = String::new();
    for line in text.lines() {
        if line.starts_with('#') {
            section = heading_section(line).unwrap_or_default().to_owned();
        }
        let Some(name) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) else {
            continue;
        };
        let is_known = keys.iter().any(|key| key.section == section && key.name == name);
        assert!(section.is_empty() || is_known, "[{section}] {name} is no key");
    }
}

#[test]
fn every_stop_has_a_section_with_its_exit_status() {
    let text = read("stops.md");
    for code in Code::ALL {
        let heading = format!("\n## `{code}`\n");
        let (_, after) = text
            .split_once(&heading)
            .unwrap_or_else(|| panic!("{code} has no section in docs/stops.md"));
        let section = after.split("\n## ").next().unwrap_or_default();
        let status = format!("Exit status {}.", code.exit_code());
        assert!(section.contains(&status), "{code}: {status}");
        for part in ["What happened", "How to see it", "What is safe", "Never"] {
            assert!(section.contains(&format!("**{part}.**")), "{code} lacks {part:?}");
        }
    }
}

#[test]
fn no_stop_is_documented_that_does_not_exist() {
    let text = read("stops.md");
    let headings = text.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
    for heading in headings {
        assert!(Code::ALL.iter().any(|code| code.as_str() == heading), "{heading} is no code");
    }
}

#[test]
fn every_event_code_of_the_log_is_documented() {
    let text = read("operations.md");
    let codes = quoted_after("event = \"", &["outboxd-relay/src", "outboxd/src"]);
    assert!(codes.len() > 20, "the codes are found: {codes:?}");
    for code in codes {
        assert!(text.contains(&format!("`{code}`")), "{code} is not in docs/operations.md");
    }
}

#[test]
fn every_metric_is_documented() {
    let text = read("operations.md");
    let metrics = quoted_after("\"outboxd_", &METRICS);
    assert!(metrics.len() > 15, "the metrics are found: {metrics:?}");
    let table = text.split("\n## Metrics\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let table = table.expect("a section on metrics");
    for metric in metrics {
        let named = format!("`outboxd_{metric}");
        let is_named = table.split(&named).skip(1).any(|rest| rest.starts_with(['`', '{']));
        assert!(is_named, "outboxd_{metric} is not in docs/operations.md");
    }
}

#[test]
fn every_fault_has_one_row_with_a_state() {
    let text = read("faults.md");
    let rows = faults(&text);
    let numbers: Vec<usize> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=76).collect::<Vec<_>>());
    let summary = text.split("\n## Summary\n").nth(1).expect("a summary");
    for state in ["tested", "partly", "simulated", "open", "not here"] {
        let count = rows.iter().filter(|(_, found)| *found == state).count();
        assert!(summary.contains(&format!("\n| {state} | {count} |\n")), "{count} are {state}");
    }
    let count = |line: &str| line.split('|').nth(2)?.trim().parse::<usize>().ok();
    let sum: usize = summary.lines().filter_map(count).sum();
    assert_eq!(sum, rows.len(), "a state that the summary does not have");
}

#[test]
fn every_test_of_a_fault_exists() {
    let text = read("faults.md");
    let sources = sources(&["../crates", "../tests"]);
    let named: Vec<_> = text.split('`').filter_map(|word| word.split_once(".rs::")).collect();
    assert!(named.len() > 100, "the tests are found: {named:?}");
    for (file, function) in named {
        let (file, function) = (format!("/{file}.rs"), format!("fn {function}("));
        let is_there = sources.iter().any(|(path, source)| {
            path.to_string_lossy().ends_with(&file) && source.contains(&function)
        });
        assert!(is_there, "{function}) is not in any …{file}");
    }
}

/// Number and state of each row.
fn faults(text: &str) -> Vec<(usize, &str)> {
    text.lines().filter_map(fault).collect()
}

fn fault(line: &str) -> Option<(usize, &str)> {
    let mut cells = line.split('|').map(str::trim).skip(1);
    Some((cells.next()?.parse().ok()?, cells.nth(1)?))
}

/// The words in quotes that follow these characters in the sources at these paths, tests left out.
fn quoted_after(start: &str, paths: &[&str]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for (_, source) in sources(paths) {
        let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let pieces = source.split(start).skip(1).filter_map(|rest| rest.split('"').next());
        words.extend(pieces.map(str::to_owned));
    }
    words
}

/// Each source file at these paths, which start at the folder of crates, and its text.
fn sources(paths: &[&str]) -> Vec<(PathBuf, String)> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open: Vec<PathBuf> = paths.iter().map(|path| crates.join(path)).collect();
    let mut sources = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of sources");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source file");
            sources.push((path, source));
        }
    }
    sources
}

fn read(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All keys, as `config print` shows them when nothing is configured.
fn keys() -> Vec<Key> {
    let mut outboxd = Command::new(env!("CARGO_BIN_EXE_outboxd"));
    let output = outboxd.env_clear().args(["config", "print"]).output().expect("outboxd starts");
    let text = String::from_utf8(output.stdout).expect("outboxd prints text");
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some(name) = line.strip_prefix("# ") {
            let name = name.strip_suffix(" is not set").expect("a key that is not set").to_owned();
            keys.push(Key { section: section.clone(), name, default: None });
        } else if let Some((name, value)) = line.split_once(" = ") {
            let default = value.strip_suffix(" # default").expect("a default").to_owned();
            let (section, name) = (section.clone(), name.to_owned());
            keys.push(Key { section, name, default: Some(default) });
        }
    }
    assert!(keys.len() > 50, "config print shows every key:\n{text}");
    keys
}

/// What stands between the heading of a section and the next heading.
fn section_of<'a>(text: &'a str, section: &str) -> &'a str {
    let heading = format!("# `[{section}]`\n");
    let (_, after) = text
        .split_once(&heading)
        .unwrap_or_else(|| panic!("[{section}] has no heading in docs/configuration.md"));
    after.split("\n#").next().unwrap_or_default()
}

fn heading_section(line: &str) -> Option<&str> {
    line.trim_start_matches('#').trim().strip_prefix("`[")?.strip_suffix("]`")
}

fn row<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|line| line.starts_with(&format!("| `{name}` |")))
}

const METRICS: [&str; 2] =
    ["outboxd-relay/src/metrics/instruments.rs", "outboxd-relay/src/metrics/loose.rs"];
