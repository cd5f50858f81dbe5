//! Whether what came out is what the page says.
//!
//! `…` in a page stands for whatever differs from run to run: within a line for the rest of a word or
//! more, alone on a line for any number of lines. Blank lines and blanks at the ends do not count.

/// `Err`: the first line of the page that has no counterpart.
pub(crate) fn matches(expected: &str, found: &str) -> Result<(), String> {
    let expected: Vec<&str> = significant(expected);
    let found: Vec<&str> = significant(found);
    if lines_match(&expected, &found) {
        return Ok(());
    }
    Err(format!(
        "the page says\n  {}\nand this came out\n  {}",
        expected.join("\n  "),
        found.join("\n  ")
    ))
}

fn significant(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
}

fn lines_match(expected: &[&str], found: &[&str]) -> bool {
    match (expected, found) {
        ([], []) => true,
        ([GAP], _) => true,
        ([GAP, rest @ ..], _) => (0..=found.len()).any(|skip| lines_match(rest, &found[skip..])),
        ([line, rest @ ..], [own, others @ ..]) => {
            line_matches(line, own) && lines_match(rest, others)
        }
        _ => false,
    }
}

/// Each part between gaps is found behind the one before; first and last are at the ends.
fn line_matches(expected: &str, found: &str) -> bool {
    let Some((first, rest)) = expected.split_once(GAP) else { return expected == found };
    let Some(mut found) = found.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split(GAP).collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = found.find(part) else { return false };
        found = &found[at + part.len()..];
    }
    found.ends_with(last)
}

const GAP: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_stands_for_anything() {
        let same = [
            ("a\nb", "a\n\nb  \n"),
            ("id …, at …", "id 17, at 12:00"),
            ("…", "any\nlines"),
            ("…", ""),
            ("a\n…\nz", "a\nb\nc\nz"),
            ("a\n…\nz", "a\nz"),
            ("", "\n"),
        ];
        for (expected, found) in same {
            assert_eq!(matches(expected, found), Ok(()), "{expected:?} {found:?}");
        }
    }

    #[test]
    fn what_differs_is_found() {
        let different = [
            ("a", ""),
            ("", "a"),
            ("a", "a\nb"),
            ("a\nb", "a"),
            ("INSERT 0 1", "INSERT 0 0"),
            ("id …, at …!", "id 17, at 12:00"),
            ("id …, at …", "id 17"),
            ("ab…ba", "aba"),
            ("a\n…\nz", "a\nb"),
        ];
        for (expected, found) in different {
            assert!(matches(expected, found).is_err(), "{expected:?} {found:?}");
        }
    }
}
