//! What the kernel tells about processes: CPU time and memory.

use std::fs;
use std::time::Duration;

/// User and system time of a process with all its threads, also of one that has ended and was not
/// waited for yet. `None`: there is no such process.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    parse_cpu(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The most memory that a running process ever had resident.
pub(crate) fn peak_bytes(pid: u32) -> Option<u64> {
    parse_peak(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The same of this process.
pub(crate) fn own_peak_bytes() -> Option<u64> {
    parse_peak(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The name, in parentheses, may itself hold spaces and parentheses.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * TICK_MS))
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The kernel's unit towards programs is a hundredth of a second on every architecture we build for.
const TICK_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn user_and_system_time_add_up() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 100 200 0 0 123 45 7 8 20 0 3 0 99 1 2";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(1680)));
        assert_eq!(parse_cpu("42 (a) S 1 42"), None);
    }

    #[test]
    fn memory_is_the_peak() {
        let status = "Name:\ta\nVmPeak:\t  999 kB\nVmHWM:\t   12 kB\nVmRSS:\t 7 kB\n";
        assert_eq!(parse_peak(status), Some(12 * 1024));
        assert_eq!(parse_peak("Name:\ta\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn this_process_is_found() {
        assert!(cpu(process::id()).is_some());
        let peaks = (peak_bytes(process::id()).unwrap(), own_peak_bytes().unwrap());
        assert!(peaks.0 > 1 << 20 && peaks.1 >= peaks.0);
    }
}
