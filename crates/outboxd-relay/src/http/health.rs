//! The answers to the two probes.

use serde::Serialize;

use crate::health::{Phase, Snapshot};

/// Whether the process is worth keeping. A server that is away is no reason to restart it.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    pub(super) ok: bool,
    reason: &'static str,
    /// Since the run loop last turned.
    ticked_seconds_ago: Option<f64>,
}

/// Whether it does its work.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    pub(super) ok: bool,
    reason: &'static str,
    phase: Phase,
}

pub(super) fn live(snapshot: &Snapshot) -> Live {
    let ok = snapshot.is_alive();
    let reason = if ok { "the loop turns" } else { HANGS };
    let ago = snapshot.taken.map(|taken| taken.elapsed().as_secs_f64());
    Live { ok, reason, ticked_seconds_ago: ago }
}

pub(super) fn ready(snapshot: &Snapshot) -> Ready {
    let phase = snapshot.phase;
    let reason = if snapshot.is_alive() { phase.describe() } else { HANGS };
    Ready { ok: snapshot.is_ready(), reason, phase }
}

const HANGS: &str = "the loop has not turned for 30 seconds";
