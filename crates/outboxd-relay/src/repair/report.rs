//! What a repair did, or would do.

use outboxd_core::gate::Entry;
use outboxd_core::lsn::Lsn;
use outboxd_core::repair::{Basis, Plan, Since, SlotAction};
use outboxd_core::stop::Stop;
use serde::Serialize;

use super::pass::Tally;
use super::phantoms::Found;

/// What `slot repair --json` prints. Fields are added, never renamed or removed.
#[derive(Clone, Debug, Serialize)]
pub struct RepairReport {
    pub name: String,
    pub slot: String,
    pub database: String,
    pub outcome: Outcome,
    /// Where a relay streams from, now.
    pub position: Option<Lsn>,
    pub gap: Option<Gap>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    NothingToRepair,
    /// Nothing was changed.
    Planned,
    Repaired,
}

/// What is missing, and what is done about it.
#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    pub code: &'static str,
    pub message: String,
    pub detail: Option<String>,
    /// `create`, `replace` or `keep`.
    pub slot_action: &'static str,
    /// Rows from this moment on, in milliseconds since the Unix epoch; `None`: all.
    pub since_ms: Option<i64>,
    /// Where the moment comes from: `asked`, `last_commit`, `written_at`, `first_phantom`.
    pub since_basis: Option<&'static str>,
    pub rows: Tally,
    /// Topics of these rows that do not exist: they have to, before the repair.
    pub missing_topics: Vec<String>,
    /// The epoch of the records to come.
    pub epoch: u16,
    pub phantoms: Option<PhantomReport>,
    /// What cannot be known.
    pub unknown: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PhantomReport {
    /// Commits at and past this position are on the old timeline only.
    pub from: Lsn,
    /// The newest that is known to have been published.
    pub to: Lsn,
    #[serde(flatten)]
    pub found: Found,
}

impl RepairReport {
    pub(super) fn new(config: &crate::config::SourceConfig, outcome: Outcome) -> Self {
        Self {
            name: config.name.clone(),
            slot: config.slot.clone(),
            database: config.database.clone(),
            outcome,
            position: None,
            gap: None,
        }
    }

    pub(super) fn of_entry(config: &crate::config::SourceConfig, entry: &Entry) -> Self {
        let position = Some(entry.progress.end_lsn);
        Self { position, ..Self::new(config, Outcome::NothingToRepair) }
    }
}

impl Gap {
    pub(super) fn new(plan: &Plan, rows: Tally, found: Option<Found>, is_timed: bool) -> Self {
        let Stop { code, message, detail, .. } = plan.cause.clone();
        let since = plan.since.filter(|_| is_timed);
        Self {
            code: code.as_str(),
            message,
            detail,
            slot_action: match plan.slot {
                SlotAction::Create => "create",
                SlotAction::Replace => "replace",
                SlotAction::Keep(_) => "keep",
            },
            since_ms: since.map(|since| since.at_ms),
            since_basis: since.map(|since| basis(since.basis)),
            rows,
            missing_topics: Vec::new(),
            epoch: plan.epoch(),
            phantoms: plan.phantoms.zip(found).map(|(range, found)| PhantomReport {
                from: range.from,
                to: range.to,
                found,
            }),
            unknown: unknown(plan, since, is_timed),
        }
    }
}

const fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Asked => "asked",
        Basis::LastCommit => "last_commit",
        Basis::WrittenAt => "written_at",
        Basis::FirstPhantom => "first_phantom",
    }
}

fn unknown(plan: &Plan, since: Option<Since>, is_timed: bool) -> Vec<String> {
    let mut unknown = vec![ORDER, REPEATS].into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut add = |text: &str| unknown.push(text.to_owned());
    match since.map(|since| since.basis) {
        Some(Basis::WrittenAt) => add(NO_COMMIT),
        Some(_) => add(LONG_TRANSACTIONS),
        None if is_timed => add(NO_TIME),
        None => add(NO_COLUMN),
    }
    add(DELETED);
    if plan.lacks_messages {
        add(MESSAGES);
    }
    if plan.cause.code.as_str() == "diverged" && plan.phantoms.is_none() {
        add(NO_SWITCH_POINT);
    }
    if plan.phantoms.is_some() {
        add(OTHER_RELAYS);
    }
    unknown
}

const ORDER: &str = "the order in which transactions committed: rows go by created_at, those of one \
                     transaction by the order of its inserts";
const REPEATS: &str = "which rows were published before: those are repeated, marked outboxd-replay";
const LONG_TRANSACTIONS: &str = "rows of transactions that were open for more than ten minutes when \
                                 the gap began may be older: give an earlier --since for those";
const NO_COMMIT: &str = "what was published: no transaction was recorded, only when the position \
                         was; if the slot was adopted with a backlog, give an earlier --since";
const NO_TIME: &str = "since when events are missing: nothing was recorded, so all rows go; --since \
                       narrows them";
const NO_COLUMN: &str = "when rows were written: no created_at column is mapped, so all rows go";
const DELETED: &str = "rows that were deleted from the table meanwhile: they are lost to consumers";
const MESSAGES: &str = "which events were written as logical messages in the gap: no table holds them, \
                        and they are not published";
const NO_SWITCH_POINT: &str = "which published events this database does not have: its history does \
                               not say where it parted";
const OTHER_RELAYS: &str =
    "whether a listed event is of another relay that writes to the same topic";

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::repair::Phantom;

    /// One event listed, more of them not, and a topic that was not searched.
    pub(in super::super) fn found(event: Phantom) -> Found {
        Found {
            events: vec![event],
            unlisted: 4,
            unsearched: BTreeMap::from([("c".to_owned(), "gone".to_owned())]),
        }
    }

    #[test]
    fn json_names_what_a_script_looks_for() {
        let report = RepairReport {
            name: "n".to_owned(),
            slot: "s".to_owned(),
            database: "d".to_owned(),
            outcome: Outcome::NothingToRepair,
            position: Some(Lsn::new(16)),
            gap: None,
        };
        let json = serde_json::to_string(&report).unwrap();
        let expected = r#"{"name":"n","slot":"s","database":"d","outcome":"nothing_to_repair","position":"0/10","gap":null}"#;
        assert_eq!(json, expected);
    }
}
