//! The known name that an unknown one was probably meant to be.

use strsim::damerau_levenshtein;

/// Prefers a misspelt name in the same section, then the same name in another section.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl Iterator<Item = &'a String> + Clone,
) -> Option<&'a str> {
    let (section, name) = split(unknown);
    let sibling = known
        .clone()
        .filter(|path| split(path).0 == section)
        .map(|path| (distance(split(path).1, name), path))
        .min();
    match sibling {
        Some((distance, path)) if distance <= allowed(name) => Some(path),
        _ => elsewhere(unknown, known),
    }
}

fn elsewhere<'a>(unknown: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let (_, name) = split(unknown);
    let of =
        |path: &str| if split(path).1 == name { 0 } else { damerau_levenshtein(path, unknown) };
    let (distance, path) = known.map(|path| (of(path), path)).min()?;
    (distance <= allowed(name)).then_some(path.as_str())
}

/// Mistakes from one to the other; a word cut short or drawn out (`user`, `username`) is one.
fn distance(known: &str, unknown: &str) -> usize {
    let shorter = known.len().min(unknown.len());
    let cut = shorter >= 3 && (known.starts_with(unknown) || unknown.starts_with(known));
    if cut { 1 } else { damerau_levenshtein(known, unknown) }
}

/// About one mistake in three letters still looks like the same word.
fn allowed(name: &str) -> usize {
    (name.len() / 3).max(1)
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_to(unknown: &str) -> Option<String> {
        let known = ["kafka", "kafka.bootstrap_servers", "kafka.linger", "source", "source.slot"];
        let known = known.map(str::to_owned);
        nearest(unknown, known.iter()).map(str::to_owned)
    }

    #[test]
    fn finds_what_was_meant() {
        for (unknown, meant) in [
            ("kafka.bootstrap_server", Some("kafka.bootstrap_servers")),
            ("kafka.bootstrapservers", Some("kafka.bootstrap_servers")),
            ("kafka.lnigre", Some("kafka.linger")),
            ("kafka.linger_ms", Some("kafka.linger")),
            ("kafka.bootstrap", Some("kafka.bootstrap_servers")),
            ("kafak", Some("kafka")),
            ("kafka.slot", Some("source.slot")),
            ("slot", Some("source.slot")),
            ("kafka.acks", None),
            ("metrics", None),
        ] {
            assert_eq!(nearest_to(unknown).as_deref(), meant, "{unknown}");
        }
    }
}
