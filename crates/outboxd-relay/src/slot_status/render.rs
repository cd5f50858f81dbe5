//! The status of a slot for people.

use std::fmt;

use super::{RecordedProgress, SlotDetails, SlotStatus, Verdict};
use crate::status::bytes;

impl fmt::Display for SlotStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, slot, database, active, details, recorded, verdict } = self;
        writeln!(f, "relay     {name} (database {database})")?;
        writeln!(f, "active    {}", if *active { "yes" } else { "no relay" })?;
        match details {
            Some(details) => write!(f, "slot      {slot}: {details}")?,
            None => writeln!(f, "slot      {slot}: missing")?,
        }
        match recorded {
            Some(recorded) => write!(f, "{recorded}")?,
            None => writeln!(f, "recorded  nothing")?,
        }
        write!(f, "{verdict}")
    }
}

impl fmt::Display for SlotDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugin = self.plugin.as_deref().unwrap_or("physical");
        write!(f, "{plugin}, database {}", or_none(self.database.as_ref()))?;
        match self.active_pid {
            Some(pid) => write!(f, ", read by server process {pid}")?,
            None => f.write_str(", not read")?,
        }
        for (what, is_so) in [("failover", self.failover), ("synced", self.synced)] {
            if is_so == Some(true) {
                write!(f, ", {what}")?;
            }
        }
        writeln!(f)?;
        let (confirmed, restart) =
            (or_none(self.confirmed.as_ref()), or_none(self.restart_lsn.as_ref()));
        writeln!(f, "          confirmed {confirmed}, log kept from {restart}")?;
        write!(f, "          ")?;
        match &self.lost {
            Some(reason) => write!(f, "lost: {reason}")?,
            None => write!(f, "{}", or_none(self.wal_status.as_ref()))?,
        }
        let positive = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        if let Some(retained) = self.retained_wal_bytes {
            write!(f, ", holds {} of WAL", bytes(positive(retained)))?;
        }
        if let Some(safe) = self.safe_wal_bytes {
            write!(f, ", {} until it is lost", bytes(positive(safe)))?;
        }
        writeln!(f)
    }
}

impl fmt::Display for RecordedProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acquisition, epoch, system_id, timeline, end_lsn, partial, .. } = self;
        write!(f, "recorded  {end_lsn}")?;
        if let Some(partial) = partial {
            write!(f, ", and {} changes of commit {}", partial.changes, partial.commit_lsn)?;
        }
        writeln!(f, ", written {}", self.written_at)?;
        writeln!(
            f,
            "          acquisition {acquisition}, epoch {epoch}, system {system_id}, timeline {timeline}"
        )?;
        match (&self.last_commit_lsn, &self.last_commit_at) {
            (Some(lsn), Some(at)) => writeln!(f, "          last commit {lsn} at {at}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { creates_slot: true, .. } => {
                writeln!(f, "verdict   run would create the slot and stream from there")
            }
            Self::Stream { from, .. } => writeln!(f, "verdict   run would stream from {from}"),
            Self::Stop { code, message, detail, hint } => {
                writeln!(f, "verdict   run would stop: error[{code}]: {message}")?;
                for (label, text) in [("detail", detail), ("hint", hint)] {
                    for line in text.iter().flat_map(|text| text.lines()) {
                        writeln!(f, "          {label}: {line}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn or_none(value: Option<&impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}
