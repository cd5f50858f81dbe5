//! Waiting for what can only be asked for.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// When a test gives up on what must happen; far beyond what anything healthy takes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks until the answer is something, or fails at the deadline.
pub async fn eventually<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("never happened: {what}");
        }
        sleep(BETWEEN).await;
    }
}

const BETWEEN: Duration = Duration::from_millis(20);
