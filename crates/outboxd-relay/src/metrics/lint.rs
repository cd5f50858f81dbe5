//! What a scraper demands of the text: each metric once, with type and help, samples under their
//! own metric, no series twice, names by the conventions.

use std::collections::{BTreeMap, BTreeSet};

/// Every way in which the text is not as it should be.
pub(super) fn problems(text: &str) -> Vec<String> {
    let mut linter = Linter::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        linter.line(line);
    }
    linter.finish()
}

#[derive(Default)]
struct Linter {
    helps: BTreeSet<String>,
    types: BTreeMap<String, String>,
    series: BTreeSet<String>,
    current: String,
    problems: Vec<String>,
}

impl Linter {
    fn line(&mut self, line: &str) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => self.help(name, help),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => self.kind(name, kind),
            _ => self.sample(line),
        }
    }

    fn help(&mut self, name: &str, help: &str) {
        let new = self.helps.insert(name.to_owned());
        self.check(new, || format!("{name}: help twice"));
        self.check(help.ends_with('.'), || format!("{name}: help is no sentence"));
    }

    fn kind(&mut self, name: &str, kind: &str) {
        let known = self.types.insert(name.to_owned(), kind.to_owned()).is_some();
        self.check(!known, || format!("{name}: type twice"));
        self.check(name.starts_with("outboxd_"), || format!("{name}: no prefix"));
        let counts = name.ends_with("_total");
        self.check(counts == (kind == "counter"), || format!("{name}: is a {kind}"));
        self.current = name.to_owned();
    }

    fn sample(&mut self, line: &str) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            return self.problems.push(format!("no sample: {line}"));
        };
        self.check(value.parse::<f64>().is_ok(), || format!("no number: {line}"));
        let new = self.series.insert(series.to_owned());
        self.check(new, || format!("{series}: twice"));
        let name = series.split('{').next().unwrap_or(series);
        let suffix = name.strip_prefix(&self.current);
        let histogram = self.types.get(&self.current).is_some_and(|kind| kind == "histogram");
        let allowed: &[&str] = if histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        let fits = suffix.is_some_and(|suffix| allowed.contains(&suffix));
        self.check(fits, || format!("{series}: not under its metric"));
    }

    fn finish(mut self) -> Vec<String> {
        let typed: BTreeSet<String> = self.types.keys().cloned().collect();
        for name in typed.symmetric_difference(&self.helps) {
            self.problems.push(format!("{name}: without type or help"));
        }
        self.problems
    }

    fn check(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }
}

#[test]
fn the_lint_finds_what_is_wrong() {
    let good = "# HELP outboxd_a_total A.\n# TYPE outboxd_a_total counter\noutboxd_a_total 1\n";
    assert_eq!(problems(good), [""; 0]);
    for (from, to) in [
        ("# HELP outboxd_a_total A.\n", ""),
        ("A.", "A"),
        ("counter", "gauge"),
        ("outboxd_a_total 1", "outboxd_b_total 1"),
        ("outboxd_a_total 1", "outboxd_a_total x"),
        ("outboxd_a_total 1", "outboxd_a_total 1\noutboxd_a_total 2"),
        ("outboxd_", "other_"),
    ] {
        assert_ne!(problems(&good.replace(from, to)), [""; 0], "{from} → {to}");
    }
}
