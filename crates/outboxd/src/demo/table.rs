//! The verdict as a table for people.

use std::fmt::Write as _;

use super::service::Style;
use super::story::wants_colour;
use super::verdict::{Chaos, Verdict};

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
fn rows(verdict: &Verdict) -> Vec<(String, u64, Option<bool>)> {
    let Chaos { relay_kills, order_service_kills, .. } = verdict.chaos;
    let Chaos { broker_outages, payment_service_crashes, payments_refused, .. } = verdict.chaos;
    let committed = verdict.orders_committed;
    let all = |count| Some(committed > 0 && count == committed);
    let none = |count| Some(count == 0);
    let one = |count| Some(count == 1);
    let fact = |what: &str, count| (what.to_owned(), count, None);
    let check = |what: &str, count, kept: Option<bool>| (what.to_owned(), count, kept);
    let mut rows = vec![
        fact("relay killed with SIGKILL", relay_kills),
        fact("order service killed with SIGKILL", order_service_kills),
        fact("payment service killed after a payment", payment_service_crashes),
        fact("broker stopped for 10 s", broker_outages),
        fact("payments that were refused at first", payments_refused),
        fact("orders rolled back", verdict.orders_rolled_back),
        check("orders committed", committed, Some(committed > 0)),
        check("events published", verdict.events_published, all(verdict.events_published)),
        check("payments made", verdict.payments_made, all(verdict.payments_made)),
        fact("duplicates skipped", verdict.duplicates_skipped),
    ];
    let invented = verdict.rolled_back_published;
    rows.push(check("rolled-back orders with an event", invented, none(invented)));
    rows.push(check("lost", verdict.lost, none(verdict.lost)));
    rows.push(check("double payments", verdict.double_payments, none(verdict.double_payments)));
    rows.push(check("out of order", verdict.out_of_order, none(verdict.out_of_order)));
    rows.push(check("other than ordered", verdict.altered, none(verdict.altered)));
    if verdict.style == Style::Outbox {
        let (letters, paid) = (verdict.dead_letters, verdict.dead_letters_paid);
        rows.push(check("dead letters", letters, one(letters)));
        rows.push(check("dead letters retried and paid", paid, one(paid)));
        let again = verdict.published_again;
        let limit = verdict.chaos.repeats_max;
        let within = Some(again <= limit);
        rows.push((format!("published again (at most {})", grouped(limit)), again, within));
    }
    rows
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
            style: Style::Outbox,
            seed: 7,
            chaos: Chaos {
                relay_kills: 2,
                order_service_kills: 0,
                payment_service_crashes: 1,
                broker_outages: 1,
                copies_delivered: 20,
                payments_refused: 21,
                repeats_max: 1_000,
            },
            orders_committed: 1_668,
            orders_rolled_back: 332,
            events_published: 1_668,
            payments_made: 1_668,
            duplicates_skipped: 41,
            rolled_back_published: 0,
            lost: 0,
            double_payments: 0,
            dead_letters: 1,
            dead_letters_paid: 1,
            out_of_order: 0,
            altered: 0,
            published_again: 21,
        }
    }

    #[test]
    fn a_verdict_that_holds() {
        assert_snapshot!(table(&verdict(), false));
    }

    #[test]
    fn a_verdict_that_does_not() {
        let broken = Verdict {
            events_published: 1_666,
            payments_made: 1_672,
            rolled_back_published: 1,
            lost: 2,
            double_payments: 5,
            dead_letters: 2,
            dead_letters_paid: 0,
            out_of_order: 3,
            altered: 4,
            published_again: 1_001,
            ..verdict()
        };
        assert_snapshot!(table(&broken, false));
    }

    #[test]
    fn without_an_outbox_there_are_no_dead_letters() {
        let chaos = Chaos { relay_kills: 0, order_service_kills: 1, ..verdict().chaos };
        let naive = Verdict { style: Style::Naive, chaos, lost: 40, dead_letters: 0, ..verdict() };
        assert_snapshot!(table(&naive, false));
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
