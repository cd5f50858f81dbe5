//! How far behind a relay is, in seconds.

use outboxd_core::lsn::Lsn;
use outboxd_core::progress::Progress;
use outboxd_core::time::PgTimestamp;
use outboxd_core::window::LastCommit;

/// What the progress topic says, as far as it matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Recorded {
    pub position: Lsn,
    /// The last transaction before the position.
    pub last_commit: Option<Commit>,
    /// Milliseconds since the Unix epoch.
    pub written_at_ms: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Commit {
    pub lsn: Lsn,
    pub time: PgTimestamp,
}

impl From<&Progress> for Recorded {
    fn from(progress: &Progress) -> Self {
        let commit = |last: LastCommit| Commit {
            lsn: last.commit_lsn,
            time: PgTimestamp::from_micros(last.time_us),
        };
        Self {
            position: progress.end_lsn,
            last_commit: progress.last_commit.map(commit),
            written_at_ms: progress.written_at_ms,
        }
    }
}

impl Recorded {
    /// The latest moment of which is known that everything committed before it is durable.
    ///
    /// A position right behind a commit was reached by publishing that transaction, and the next
    /// one may have waited since. Any other was the end of what there was when it was written.
    fn caught_up_at_ms(&self) -> i64 {
        match self.last_commit {
            Some(commit) if self.position.bytes_since(commit.lsn) <= COMMIT_RECORD_BYTES => {
                commit.time.unix_millis()
            }
            _ => self.written_at_ms,
        }
    }
}

/// Zero when nothing is behind the position; unknown when nothing is recorded.
pub(super) fn seconds(
    lag_bytes: Option<u64>,
    recorded: Option<&Recorded>,
    now_ms: i64,
) -> Option<f64> {
    let recorded = recorded?;
    if lag_bytes == Some(0) {
        return Some(0.0);
    }
    // The clocks of relay and server may differ.
    let lag_ms = now_ms.saturating_sub(recorded.caught_up_at_ms()).max(0);
    Some(std::time::Duration::from_millis(lag_ms.unsigned_abs()).as_secs_f64())
}

/// From start to end of a plain commit record. Nothing else fits between the two, so that an idle
/// position is never taken for a commit; a commit with savepoints is taken for an idle position.
const COMMIT_RECORD_BYTES: u64 = 64;
