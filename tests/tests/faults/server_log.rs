//! What a Postgres server says about us.

use anyhow::{Result, ensure};
use outboxd_sandbox::Postgres;

/// The server never had to end a session because we were silent.
pub(crate) async fn expect_no_timeout(postgres: &Postgres) -> Result<()> {
    let log = postgres.log().await?;
    let silent: Vec<&str> = log.lines().filter(|line| line.contains(TIMED_OUT)).collect();
    ensure!(silent.is_empty(), "{}", silent.join("\n"));
    Ok(())
}

const TIMED_OUT: &str = "due to replication timeout";
