//! The machine's processes as /proc shows them.

use std::{fs, io};

use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: i32,
    parent: i32,
    state: char,
    /// Ticks since boot; with the id it names one process for good.
    started: u64,
}

impl Entry {
    /// Suspended, or so dead that it cannot run either.
    pub(crate) fn is_still(&self) -> bool {
        matches!(self.state, 'T' | 't') || self.is_dead()
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// What /proc/PID/stat says. The name in parentheses may itself hold parentheses and spaces.
    fn parse(stat: &str) -> Option<Self> {
        let (head, tail) = stat.rsplit_once(") ")?;
        let mut fields = tail.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // State is the third field of the whole line and the start time the 22nd.
        let started = fields.nth(17)?.parse().ok()?;
        let pid = head.split(' ').next()?.parse().ok()?;
        Some(Self { pid, parent, state, started })
    }
}

/// Process `root` and everything it started, directly or not, parents before children.
pub(crate) fn family(root: i32) -> Result<Vec<Entry>> {
    let all = all()?;
    let mut family: Vec<_> = all.iter().copied().filter(|entry| entry.pid == root).collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).map(|entry| entry.pid) {
        family.extend(all.iter().filter(|entry| entry.parent == parent));
        next += 1;
    }
    Ok(family)
}

/// Whether any of these processes is still there.
pub(crate) fn any_alive(known: &[Entry]) -> Result<bool> {
    let all = all()?;
    Ok(known.iter().any(|one| {
        all.iter()
            .any(|entry| entry.pid == one.pid && entry.started == one.started && !entry.is_dead())
    }))
}

fn all() -> Result<Vec<Entry>> {
    let listed = fs::read_dir("/proc").and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let listed = listed.map_err(Error::io("list the processes"))?;
    // A process may end between listing and reading.
    Ok(listed
        .iter()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<i32>().is_ok())
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|stat| Entry::parse(&stat))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) S 9 (b) T 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987 1 2";
        let entry = Entry::parse(stat).unwrap();
        assert_eq!(entry, Entry { pid: 42, parent: 7, state: 'T', started: 987 });
    }

    #[test]
    fn lines_cut_short_are_no_entries() {
        for stat in ["", "42", "42 (a)", "42 (a) S", "42 (a) S 7 1 2"] {
            assert_eq!(Entry::parse(stat), None);
        }
    }

    #[test]
    fn this_process_is_its_own_family_and_alive() {
        let own = i32::try_from(std::process::id()).unwrap();
        let family = family(own).unwrap();
        assert_eq!(family[0].pid, own);
        assert!(any_alive(&family).unwrap());
    }
}
