//! Carries the SQL part of a plan out.

use std::future::Future;
use std::time::Duration;

use super::plan::SetupPlan;
use crate::catalog::transactions::{self, OpenTransaction};
use crate::control::{ControlError, ControlSession};

/// Makes other runs of `setup` and `migrate` on this database wait until the session ends, so that several
/// started at once (one per replica) find each other's work instead of colliding with it.
pub async fn lock(session: &ControlSession) -> Result<(), ControlError> {
    loop {
        let locked = session.execute(&format!("select pg_advisory_lock({LOCK_KEY})")).await;
        match locked {
            Err(error) if error.sqlstate() == Some(LOCK_NOT_AVAILABLE) => {
                tracing::info!("waiting for another setup or migration on this database");
            }
            locked => return locked,
        }
    }
}

/// Runs all statements: either everything is there afterwards, or nothing, since the server takes
/// what arrives in one message for one transaction. It has ended when the slot is created, which
/// waits for every transaction that has written.
pub async fn apply_statements(
    session: &ControlSession,
    plan: &SetupPlan,
) -> Result<(), ControlError> {
    let statements = plan.statements.iter().map(|statement| statement.sql.as_str());
    let script = statements.collect::<Vec<_>>().join("\n");
    if script.is_empty() { Ok(()) } else { session.execute(&script).await }
}

/// Awaits the creation of a slot, and reports the transactions it waits for once in a while.
pub async fn reporting_open_transactions<F: Future>(
    session: &ControlSession,
    creation: F,
    mut report: impl FnMut(&[OpenTransaction]),
) -> F::Output {
    let mut creation = std::pin::pin!(creation);
    loop {
        tokio::select! {
            biased;
            output = &mut creation => return output,
            () = tokio::time::sleep(REPORT_INTERVAL) => {}
        }
        // Without an answer there is nothing to report; the creation says what is wrong.
        if let Ok(open) = transactions::open_writers(session).await
            && !open.is_empty()
        {
            report(&open);
        }
    }
}

/// "outboxd" in ASCII.
const LOCK_KEY: i64 = 0x006f_7574_626f_7864;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The session's lock_timeout has passed.
const LOCK_NOT_AVAILABLE: &str = "55P03";
