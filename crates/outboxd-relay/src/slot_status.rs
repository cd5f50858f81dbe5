//! `slot status`: the slot, the recorded progress, and what a relay would make of both.
//!
//! The verdict is that of the start gate itself, so that it cannot differ from what `run` does.
//! Nothing is changed, and no lock is taken: it works beside a relay.

mod details;
mod render;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outboxd_core::gate::{self, Next, Observed};
use outboxd_core::lsn::Lsn;
use outboxd_core::progress::Progress;
use outboxd_core::relay::Goal;
use outboxd_core::stop::{Code, Stop};
use outboxd_core::time::PgTimestamp;
use outboxd_core::window::Partial;
use serde::Serialize;

pub use self::details::SlotDetails;
use crate::config::Config;
use crate::daemon;
use crate::link_failure::LinkFailure;
use crate::open::Opener;
use crate::status::is_locked;
use crate::wiring::{self, Wishes};

/// What `slot status --json` prints. Fields are added, never renamed or removed.
#[derive(Clone, Debug, Serialize)]
pub struct SlotStatus {
    pub name: String,
    pub slot: String,
    pub database: String,
    /// A relay of this name is at work: another one would stand by.
    pub active: bool,
    /// `None`: there is no slot.
    pub details: Option<SlotDetails>,
    /// `None`: nothing is recorded, or it cannot be read.
    pub recorded: Option<RecordedProgress>,
    pub verdict: Verdict,
}

/// The progress record that counts.
#[derive(Clone, Debug, Serialize)]
pub struct RecordedProgress {
    pub acquisition: u64,
    pub epoch: u16,
    pub system_id: String,
    pub timeline: u32,
    pub end_lsn: Lsn,
    pub partial: Option<Partial>,
    pub last_commit_lsn: Option<Lsn>,
    /// RFC 3339, UTC.
    pub last_commit_at: Option<String>,
    pub written_at: String,
}

/// What a relay would do.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "would", rename_all = "snake_case")]
pub enum Verdict {
    Stream {
        from: Lsn,
        /// The slot is not there yet: a first run would create it.
        creates_slot: bool,
    },
    Stop {
        code: &'static str,
        message: String,
        detail: Option<String>,
        hint: Option<String>,
    },
}

impl SlotStatus {
    pub async fn read(config: &Config) -> Result<Self, Stop> {
        let source = &config.source;
        let opener = daemon::opener(config, Wishes { fail_fast: true, ..Wishes::default() })?;
        let control = opener.control().await?;
        let (recorded, unreadable) = match daemon::recorded(config).await {
            Ok(recorded) => (recorded, None),
            Err(stop) if stop.code == Code::ProgressLost => (None, Some(stop)),
            Err(stop) => return Err(stop),
        };
        let verdict = match unreadable {
            Some(stop) => Verdict::of_stop(stop),
            None => verdict(config, &opener, recorded.as_ref()).await?,
        };
        let details = details::read(&control, &source.slot).await?;
        let locked = is_locked(&control, &source.name).await?;
        let streaming = details.as_ref().is_some_and(|details| details.active_pid.is_some());
        Ok(Self {
            name: source.name.clone(),
            slot: source.slot.clone(),
            database: source.database.clone(),
            active: locked || streaming,
            details,
            recorded: recorded.as_ref().map(RecordedProgress::from),
            verdict,
        })
    }

    /// 3 when a relay would stop.
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Stream { .. } => 0,
            Verdict::Stop { .. } => 3,
        }
    }
}

/// Asks the gate, with what a relay would observe.
async fn verdict(
    config: &Config,
    opener: &Opener,
    recorded: Option<&Progress>,
) -> Result<Verdict, Stop> {
    let mut session = opener.session(false).await.map_err(Stop::from)?;
    let observed = opener.observe(&mut session, recorded).await;
    session.close().await;
    let observed: Observed = match observed {
        Ok((observed, _)) => observed,
        // What is wrong with server, table or rights stops a relay like the gate does.
        Err(LinkFailure::Stop(stop)) => return Ok(Verdict::of_stop(stop)),
        Err(failure) => return Err(failure.into()),
    };
    let rules = wiring::settings(config, Wishes::default(), Goal::Run).rules;
    Ok(match gate::decide(recorded, &observed, &rules, Lsn::ZERO) {
        Ok(entry) => Verdict::Stream {
            from: entry.progress.end_lsn,
            creates_slot: entry.next == Next::CreateSlot,
        },
        Err(stop) => Verdict::of_stop(stop),
    })
}

impl Verdict {
    fn of_stop(stop: Stop) -> Self {
        let Stop { code, message, detail, hint } = stop;
        Self::Stop { code: code.as_str(), message, detail, hint }
    }
}

impl From<&Progress> for RecordedProgress {
    fn from(progress: &Progress) -> Self {
        let last = progress.last_commit;
        let time = |micros| PgTimestamp::from_micros(micros).unix_millis();
        Self {
            acquisition: progress.acquisition,
            epoch: progress.epoch,
            system_id: progress.system_id.clone(),
            timeline: progress.timeline,
            end_lsn: progress.end_lsn,
            partial: progress.partial,
            last_commit_lsn: last.map(|last| last.commit_lsn),
            last_commit_at: last.map(|last| moment(time(last.time_us))),
            written_at: moment(progress.written_at_ms),
        }
    }
}

/// A moment in milliseconds since the Unix epoch, as RFC 3339 writes it.
pub(crate) fn moment(unix_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    let Some(time) = UNIX_EPOCH.checked_add(since).filter(|time| *time < last_printable()) else {
        return "beyond all years".to_owned();
    };
    humantime::format_rfc3339_millis(time).to_string()
}

/// The formatter knows years of four digits.
fn last_printable() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(253_402_300_800)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_printed_whatever_they_are() {
        assert_eq!(moment(1_700_000_000_042), "2023-11-14T22:13:20.042Z");
        assert_eq!(moment(-5), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(i64::MAX), "beyond all years");
        assert_eq!(moment(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
    }
}
