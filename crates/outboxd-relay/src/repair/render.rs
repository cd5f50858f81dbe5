//! The report of a repair for people.

use std::fmt;

use super::pass::Tally;
use super::report::{Gap, Outcome, PhantomReport, RepairReport};
use crate::slot_status::moment;

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, slot, database, outcome, position, gap } = self;
        writeln!(f, "relay     {name} (slot {slot}, database {database})")?;
        if let Some(gap) = gap {
            gap.render(f, *outcome)?;
        }
        match (outcome, position) {
            (Outcome::NothingToRepair, Some(at)) => {
                writeln!(f, "nothing to repair: a relay would stream from {at}")
            }
            (Outcome::Repaired, Some(at)) => writeln!(f, "repaired: a relay streams from {at}"),
            _ => writeln!(f, "nothing was changed"),
        }
    }
}

impl Gap {
    fn render(&self, f: &mut fmt::Formatter<'_>, outcome: Outcome) -> fmt::Result {
        let Self { code, message, detail, .. } = self;
        writeln!(f, "gap       {code}: {message}")?;
        if let Some(detail) = detail {
            writeln!(f, "          {detail}")?;
        }
        writeln!(f, "slot      {}", slot_words(self.slot_action))?;
        match self.since_ms.zip(self.since_basis) {
            Some((at, basis)) => {
                writeln!(f, "since     {} ({})", moment(at), basis_words(basis))?;
            }
            None => writeln!(f, "since     all rows")?,
        }
        let verb = if outcome == Outcome::Repaired { "published" } else { "to be published" };
        render_rows(f, &self.rows, verb)?;
        for topic in &self.missing_topics {
            writeln!(f, "topic     {topic} does not exist: create it first")?;
        }
        if let Some(phantoms) = &self.phantoms {
            render_phantoms(f, phantoms)?;
        }
        for unknown in &self.unknown {
            writeln!(f, "unknown   {unknown}")?;
        }
        Ok(())
    }
}

fn render_rows(f: &mut fmt::Formatter<'_>, tally: &Tally, verb: &str) -> fmt::Result {
    write!(f, "rows      {} {verb}", tally.rows)?;
    if let Some((earliest, latest)) = tally.earliest_ms.zip(tally.latest_ms) {
        write!(f, ", written {} to {}", moment(earliest), moment(latest))?;
    }
    writeln!(f)?;
    for (topic, rows) in &tally.topics {
        writeln!(f, "          {rows} for {topic}")?;
    }
    let others = [
        (tally.withheld, "left to the dead letters they are among"),
        (tally.behind, "parked behind an earlier event of their key"),
        (tally.refused, "that cannot be published (errors.on_record_error)"),
    ];
    for (rows, what) in others.into_iter().filter(|(rows, _)| *rows > 0) {
        writeln!(f, "          {rows} {what}")?;
    }
    Ok(())
}

fn render_phantoms(f: &mut fmt::Formatter<'_>, phantoms: &PhantomReport) -> fmt::Result {
    let PhantomReport { from, to, found } = phantoms;
    writeln!(
        f,
        "phantoms  commits from {from} to {to} were published and are not in this database:"
    )?;
    for event in &found.events {
        let [id, kind] =
            [&event.event_id, &event.event_type].map(|text| text.as_deref().unwrap_or("unknown"));
        writeln!(
            f,
            "          event {id} ({kind}) in {} partition {} offset {}, sequence {}",
            event.topic, event.partition, event.offset, event.sequence
        )?;
    }
    match (found.events.len(), found.unlisted) {
        (0, _) => writeln!(f, "          none of them was found in the topics")?,
        (_, 0) => {}
        (_, more) => writeln!(f, "          and {more} more")?,
    }
    for (topic, reason) in &found.unsearched {
        writeln!(f, "          {topic} could not be searched: {reason}")?;
    }
    Ok(())
}

fn slot_words(action: &str) -> &'static str {
    match action {
        "create" => "created anew",
        "replace" => "dropped and created anew",
        _ => "kept: it holds what was committed after its position",
    }
}

fn basis_words(basis: &str) -> &'static str {
    match basis {
        "asked" => "as asked for",
        "last_commit" => "ten minutes before the last transaction that was published",
        "written_at" => "ten minutes before the position was recorded",
        _ => "ten minutes before the first event that this database does not have",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::repair::{Phantom, report};

    fn gap() -> Gap {
        Gap {
            code: "diverged",
            message: "events were published that the new timeline does not contain".to_owned(),
            detail: Some("timeline 3 was left at 0/3B6".to_owned()),
            slot_action: "replace",
            since_ms: Some(1_700_000_000_000),
            since_basis: Some("first_phantom"),
            rows: Tally {
                rows: 3,
                earliest_ms: Some(1_700_000_000_000),
                latest_ms: Some(1_700_000_060_000),
                topics: BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]),
                withheld: 1,
                behind: 0,
                refused: 2,
            },
            missing_topics: vec!["b".to_owned()],
            epoch: 2,
            phantoms: Some(PhantomReport {
                from: outboxd_core::lsn::Lsn::new(0x3B6),
                to: outboxd_core::lsn::Lsn::new(0x3C0),
                found: report::tests::found(Phantom {
                    event_id: Some("7f".to_owned()),
                    event_type: None,
                    topic: "a".to_owned(),
                    partition: 1,
                    offset: 42,
                    sequence: "0001-00000000000003C0-00000000".to_owned(),
                    timestamp_ms: None,
                }),
            }),
            unknown: vec!["the weather".to_owned()],
        }
    }

    #[test]
    fn a_plan_says_all_that_is_known_and_what_is_not() {
        let report = RepairReport {
            name: "shop".to_owned(),
            slot: "outboxd_shop".to_owned(),
            database: "shop".to_owned(),
            outcome: Outcome::Planned,
            position: None,
            gap: Some(gap()),
        };
        let expected = "\
relay     shop (slot outboxd_shop, database shop)
gap       diverged: events were published that the new timeline does not contain
          timeline 3 was left at 0/3B6
slot      dropped and created anew
since     2023-11-14T22:13:20.000Z (ten minutes before the first event that this database does not have)
rows      3 to be published, written 2023-11-14T22:13:20.000Z to 2023-11-14T22:14:20.000Z
          1 for a
          2 for b
          1 left to the dead letters they are among
          2 that cannot be published (errors.on_record_error)
topic     b does not exist: create it first
phantoms  commits from 0/3B6 to 0/3C0 were published and are not in this database:
          event 7f (unknown) in a partition 1 offset 42, sequence 0001-00000000000003C0-00000000
          and 4 more
          c could not be searched: gone
unknown   the weather
nothing was changed
";
        assert_eq!(report.to_string(), expected);
    }
}
