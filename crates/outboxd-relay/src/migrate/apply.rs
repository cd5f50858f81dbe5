//! Carries a plan out, a transaction for each file.

use outboxd_core::stop::Stop;

use super::plan::Plan;
use crate::control::ControlSession;

/// What was done is kept when a later file fails: the next run goes on there. The session holds the
/// lock of [`crate::setup::lock`].
pub async fn apply(session: &ControlSession, plan: &Plan) -> Result<(), Stop> {
    for step in plan.steps() {
        // The server takes what arrives in one message for one transaction.
        session.execute(&step.sql).await.map_err(|error| {
            let stop = Stop::from(error);
            let detail = stop.detail.as_deref().unwrap_or_default();
            let detail = format!("in {}: {detail}", step.migration.name);
            stop.detail(detail)
        })?;
        tracing::info!(event = "migration.applied", name = step.migration.name, "applied");
    }
    Ok(())
}
