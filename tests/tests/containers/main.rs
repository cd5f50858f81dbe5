//! Smoke test of the servers all other tests rest on: they start, answer, and do what a fault test
//! asks of them. It runs in containers where an engine answers, else on processes;
//! `OUTBOXD_SANDBOX=containers` makes an engine a must.

mod death;
mod kafka;
mod postgres;

use std::time::Duration;

/// Longer than a server that is not frozen needs for an answer. A frozen one never answers, so
/// the tests wait this long for nothing, and nothing fails for being slow.
const FROZEN_FOR: Duration = Duration::from_secs(1);

/// When a test gives up on what must happen.
const DEADLINE: Duration = Duration::from_secs(60);
