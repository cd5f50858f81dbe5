//! The call of `outbox.rotate()`, which truncates leaves of a rotating outbox as far as it may.
//!
//! The function decides; here it is called, within a time that keeps the session's other work
//! going. One of its rows is one leaf and what was done about it.

use std::collections::BTreeSet;
use std::time::Duration;

use outboxd_core::relation::TableName;
use outboxd_core::relay::RotationFailure;

use crate::control::{ControlError, ControlSession};
use crate::setup::sql::identifier;

/// What was done about one leaf.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rotated {
    /// `truncated`, `kept` or another word of the function.
    pub(crate) action: String,
    pub(crate) leaf: Option<String>,
    pub(crate) reason: Option<String>,
}

/// Calls the function of each schema that holds an outbox. An error leaves the session as it was.
pub(crate) async fn rotate(
    session: &ControlSession,
    tables: &[TableName],
) -> Result<Vec<Rotated>, ControlError> {
    let schemas: BTreeSet<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let mut rotated = Vec::new();
    for schema in schemas {
        session.execute(&format!("begin; set local statement_timeout = {LIMIT_MS}")).await?;
        let called = call(session, schema).await;
        session.execute(if called.is_ok() { "commit" } else { "rollback" }).await?;
        rotated.extend(called?);
    }
    Ok(rotated)
}

async fn call(session: &ControlSession, schema: &str) -> Result<Vec<Rotated>, ControlError> {
    let sql = format!(
        "select action::text as action, leaf::text as leaf, reason::text as reason from {}.rotate()",
        identifier(schema)
    );
    let rows = session.rows(&sql, &[]).await?;
    let read = rows.iter().map(|row| {
        let action: Option<String> = row.try_get("action")?;
        Ok(Rotated {
            action: action.unwrap_or_else(|| OTHER.to_owned()),
            leaf: row.try_get("leaf")?,
            reason: row.try_get("reason")?,
        })
    });
    read.collect()
}

impl Rotated {
    /// For a metric, whose labels are few.
    pub(crate) fn label(&self) -> &'static str {
        ACTIONS.into_iter().find(|action| *action == self.action).unwrap_or(OTHER)
    }
}

/// In the words of the log, with what there is to do about it.
pub(crate) fn failure(error: &ControlError) -> RotationFailure {
    let kind = error.sqlstate().unwrap_or("other").to_owned();
    let hint = match kind.as_str() {
        NO_FUNCTION | NO_SCHEMA => {
            "there is no outbox.rotate(): it comes with the rotating outbox of \
                                    `outboxd migrate up`; or leave retention.rotate_every out"
        }
        NO_RIGHT => "grant execute on function outbox.rotate to the role of source.url",
        TIMED_OUT | LOCKED => "it is called again at the next interval",
        _ => error.hint().unwrap_or("it is called again at the next interval"),
    };
    RotationFailure { kind, error: error.to_string(), hint: Some(hint.to_owned()) }
}

/// The label of a call that was refused, or took too long.
pub(crate) const FAILED: &str = "failed";
const ACTIONS: [&str; 2] = ["truncated", "kept"];
const OTHER: &str = "other";
const LIMIT_MS: u128 = Duration::from_secs(5).as_millis();
const NO_FUNCTION: &str = "42883";
const NO_SCHEMA: &str = "3F000";
const NO_RIGHT: &str = "42501";
const TIMED_OUT: &str = "57014";
const LOCKED: &str = "55P03";
