//! The verdict as a table for people.

use std::fmt::Write as _;

use super::story::wants_colour;
use super::verdict::Verdict;

/// `terminal`: colours are seen.
pub(crate) fn table(verdict: &Verdict, terminal: bool) -> String {
    let colour = terminal && wants_colour();
    let mut text = String::new();
    for (what, count, judgement) in rows(verdict) {
        let judgement = judgement.map_or(String::new(), |kept| format!("  {}", word(kept, colour)));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{what:<44}{:>9}{judgement}", grouped(count));
    }
    let holds = if verdict.holds() { "everything holds" } else { "BROKEN" };
    let _ = writeln!(text, "\nverdict: {}", paint(holds, verdict.holds(), colour));
    text
}

/// What is counted, and whether that is as it has to be.
fn rows(verdict: &Verdict) -> [(String, u64, Option<bool>); 9] {
    let none = |count| Some(count == 0);
    let bound = format!("published twice (at most {})", grouped(verdict.duplicates_max));
    let within = verdict.duplicates <= verdict.duplicates_max;
    [
        ("relay killed with SIGKILL".to_owned(), verdict.kills, None),
        ("events committed".to_owned(), verdict.committed, Some(verdict.committed > 0)),
        ("events published".to_owned(), verdict.published, None),
        ("lost".to_owned(), verdict.lost, none(verdict.lost)),
        ("events rolled back".to_owned(), verdict.rolled_back, None),
        (
            "rolled back but published".to_owned(),
            verdict.rolled_back_published + verdict.unknown,
            none(verdict.rolled_back_published + verdict.unknown),
        ),
        ("out of order".to_owned(), verdict.out_of_order, none(verdict.out_of_order)),
        ("other than written".to_owned(), verdict.altered, none(verdict.altered)),
        (bound, verdict.duplicates, Some(within)),
    ]
}

fn word(kept: bool, colour: bool) -> String {
    paint(if kept { "ok" } else { "BROKEN" }, kept, colour)
}

fn paint(text: &str, good: bool, colour: bool) -> String {
    match (colour, good) {
        (false, _) => text.to_owned(),
        (true, true) => format!("\x1b[32m{text}\x1b[0m"),
        (true, false) => format!("\x1b[1;31m{text}\x1b[0m"),
    }
}

/// With commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn verdict() -> Verdict {
        Verdict {
            committed: 8_572,
            published: 8_572,
            rolled_back: 1_200,
            duplicates: 61,
            duplicates_max: 1_000,
            kills: 2,
            ..Verdict::default()
        }
    }

    #[test]
    fn a_verdict_that_holds() {
        assert_snapshot!(table(&verdict(), false));
    }

    #[test]
    fn a_verdict_that_does_not() {
        let broken = Verdict {
            published: 8_570,
            lost: 2,
            rolled_back_published: 1,
            unknown: 1,
            out_of_order: 3,
            altered: 4,
            duplicates: 1_001,
            ..verdict()
        };
        assert_snapshot!(table(&broken, false));
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
