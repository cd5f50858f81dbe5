//! Links between pages lead to a file and a heading that are there.

use anyhow::{Result, ensure};

use crate::stage;

/// The targets of `[text](target)`, outside of blocks; addresses elsewhere are not asked for.
fn targets(page: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let ends = line.split("](").skip(1);
            found.extend(ends.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target));
        }
    }
    found.retain(|target| !target.contains("://"));
    found
}

/// The anchor of a heading, as forges make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_anchor(page: &str, wanted: &str) -> bool {
    page.lines().any(|line| line.starts_with('#') && anchor(line) == wanted)
}

/// Every link of a page that leads nowhere.
pub(crate) fn broken(path: &str) -> Result<Vec<String>> {
    let page = stage::read(path)?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut broken = Vec::new();
    for target in targets(&page) {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let other = if file.is_empty() { path.to_owned() } else { format!("{folder}/{file}") };
        let other = other.trim_start_matches('/');
        let is_there = stage::repository().join(other).exists();
        if !is_there || (!heading.is_empty() && !has_anchor(&stage::read(other)?, heading)) {
            broken.push(target.to_owned());
        }
    }
    Ok(broken)
}

#[test]
fn links_and_anchors_are_told() -> Result<()> {
    let page =
        "[a](b.md#c) and [d](../e)\n```sh\n[x](y)\n```\n| [f](#g) | [h](https://example.com) |";
    ensure!(targets(page) == ["b.md#c", "../e", "#g"], "{:?}", targets(page));
    ensure!(has_anchor("# A\n## `[columns]`, and so on\n", "columns-and-so-on"));
    ensure!(!has_anchor("text columns\n", "columns"));
    Ok(())
}
