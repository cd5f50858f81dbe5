//! A status report for people.

use std::fmt;

use super::{SlotHealth, StatusReport};
use crate::dead_letters::operator::Parked;

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, slot, database, .. } = self;
        writeln!(f, "relay     {name} (slot {slot}, database {database})")?;
        writeln!(f, "state     {}", self.state())?;
        writeln!(
            f,
            "position  {} recorded, {} confirmed, {} end of WAL",
            or_unknown(self.recorded),
            or_unknown(self.confirmed),
            self.wal_end
        )?;
        let seconds = self.lag_seconds.map(|seconds| format!("{seconds:.1} s"));
        writeln!(
            f,
            "lag       {}, {}",
            or_unknown(self.lag_bytes.map(bytes)),
            or_unknown(seconds)
        )?;
        writeln!(f, "slot      {}", self.slot_health)?;
        match &self.parked {
            Some(Parked { events, dead, keys }) if *events > 0 => {
                writeln!(f, "parked    {events} events of {keys} keys, {dead} of them at fault")
            }
            _ => Ok(()),
        }
    }
}

impl StatusReport {
    fn state(&self) -> &'static str {
        match (self.active, self.streaming) {
            (_, true) => "active, streaming",
            (true, false) => "active, not streaming",
            (false, false) => "no relay is active",
        }
    }
}

impl fmt::Display for SlotHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.exists {
            return f.write_str("missing");
        }
        match (&self.lost, &self.wal_status) {
            (Some(reason), _) => write!(f, "lost: {reason}")?,
            (None, Some(status)) => f.write_str(status)?,
            (None, None) => f.write_str("no WAL reserved")?,
        }
        let positive = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
        if let Some(retained) = self.retained_wal_bytes {
            write!(f, ", holds {} of WAL", bytes(positive(retained)))?;
        }
        if let Some(safe) = self.safe_wal_bytes {
            write!(f, ", {} until it is lost", bytes(positive(safe)))?;
        }
        Ok(())
    }
}

fn or_unknown(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

/// With one decimal in the largest unit that leaves at least 1.
pub(crate) fn bytes(count: u64) -> String {
    let Some(index) = (1..UNITS.len()).rev().find(|index| count >> (10 * index) > 0) else {
        return format!("{count} B");
    };
    let shift = 10 * index;
    let tenths = (u128::from(count) * 10) >> shift;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[index])
}

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_largest_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_610_612, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
