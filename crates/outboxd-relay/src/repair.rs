//! `slot repair`: closes a gap from the outbox table, which still has what the log no longer gives.
//!
//! What is to be done is decided by [`outboxd_core::repair`]; this is the doing. The relay's lock is
//! held on a walsender session all the while, so no relay is at work. The order is what makes an
//! interruption harmless: the slot is created first, with a snapshot of the database at the very
//! point where it begins; then the rows of the snapshot are published; the position is recorded
//! last, when Kafka has all of them. Until then the gate stops every relay.

mod hold;
mod pass;
mod phantoms;
mod publish;
mod render;
mod report;
mod rows;
mod shelf;
mod slot;
mod workshop;

use outboxd_core::gate::Rules;
use outboxd_core::repair::{Repair, Request, Stored, plan};
use outboxd_core::stop::Stop;

pub use self::pass::Tally;
use self::phantoms::Found;
pub use self::phantoms::Phantom;
pub use self::report::{Gap, Outcome, PhantomReport, RepairReport};
use self::rows::StoredTable;
use self::workshop::Workshop;
use crate::config::Config;
use crate::run::clock::Stopwatch;

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    /// Rows from this moment on, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Carry the plan out. Else nothing is changed.
    pub carry_out: bool,
    /// Repair although the gate passes.
    pub force: bool,
}

/// Plans a repair, and carries it out when that is ordered.
pub async fn repair(config: &Config, order: Order) -> Result<RepairReport, Stop> {
    let mut workshop = Workshop::open(config).await?;
    let recorded = workshop.recorded().await?;
    let progress = recorded.progress.as_ref();
    let (observed, _) = workshop.opener.observe(&mut workshop.session, progress).await?;
    let now_ms = Stopwatch::start().now().unix_ms;
    let stored = stored(config);
    let request = Request { since_ms: order.since_ms, force: order.force, stored, now_ms };
    let rules = Rules { create_slot: false, ..workshop.settings.rules.clone() };
    let mut plan = match plan(progress, &observed, &rules, request).inspect_err(log_refusal)? {
        Repair::Nothing(entry) => return Ok(RepairReport::of_entry(&config.source, &entry)),
        Repair::Needed(plan) => *plan,
    };
    if plan.lacks_messages {
        tracing::warn!(
            event = "repair.messages",
            "events that were written as logical messages stand in no table: those of the gap are not \
             repaired"
        );
    }
    let found = workshop.phantoms(&plan, &recorded).await?;
    if let Some(first_ms) = found.as_ref().and_then(Found::first_ms) {
        plan.heed_phantom(first_ms);
    }
    let tables = workshop.tables(order).await?;
    let is_timed = tables.iter().any(StoredTable::is_timed);
    if order.carry_out {
        let (rows, position) = workshop.carry_out(&plan, recorded, &tables).await?;
        let gap = Gap::new(&plan, rows, found, is_timed);
        let report = RepairReport::new(&config.source, Outcome::Repaired);
        return Ok(RepairReport { position: Some(position), gap: Some(gap), ..report });
    }
    let rows = workshop.count(&plan, &observed, &tables).await?;
    let missing_topics = workshop.missing(&rows).await?;
    let gap = Gap { missing_topics, ..Gap::new(&plan, rows, found, is_timed) };
    Ok(RepairReport { gap: Some(gap), ..RepairReport::new(&config.source, Outcome::Planned) })
}

fn stored(config: &Config) -> Stored {
    match (config.source.tables.is_empty(), &config.source.messages_prefix) {
        (true, _) => Stored::Nothing,
        (false, Some(_)) => Stored::Some,
        (false, None) => Stored::All,
    }
}

fn log_refusal(stop: &Stop) {
    tracing::warn!(event = "repair.refused", code = %stop.code, error = %stop, "nothing was changed");
}
