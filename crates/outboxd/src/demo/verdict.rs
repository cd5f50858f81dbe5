//! Compares what was committed with what was read. It sees plain data only: who wrote it and how
//! it got there is not its business.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::event::{Event, Kind, Ledger, Read};
use super::names::Names;

/// How many of each. The names are stable: scripts read them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) committed: u64,
    /// Of the committed ones, each counted once.
    pub(crate) published: u64,
    /// Committed, and not published.
    pub(crate) lost: u64,
    pub(crate) rolled_back: u64,
    /// Rolled back, and published all the same.
    pub(crate) rolled_back_published: u64,
    /// Records that are no event of the shop's.
    pub(crate) unknown: u64,
    /// First records of an event that came after a later one of its aggregate, or on another
    /// partition than the ones before.
    pub(crate) out_of_order: u64,
    /// Records with another topic, key or value than what was written.
    pub(crate) altered: u64,
    /// Records of an event beyond its first.
    pub(crate) duplicates: u64,
    /// What the relay said beforehand that they may be.
    pub(crate) duplicates_max: u64,
    /// How often the relay was killed.
    pub(crate) kills: u64,
}

/// What happened to the relay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kills {
    pub(super) count: u64,
    /// The bounds that it logged after each, added up.
    pub(super) repeats_max: u64,
}

impl Verdict {
    /// Every promise was kept, on something that they could have been broken on.
    pub(crate) fn holds(&self) -> bool {
        let broken = self.lost
            + self.rolled_back_published
            + self.unknown
            + self.out_of_order
            + self.altered;
        self.committed > 0 && broken == 0 && self.duplicates <= self.duplicates_max
    }
}

/// `reads` holds the records of each partition in their order there.
pub(super) fn judge(names: &Names, ledger: &Ledger, reads: &[Read], kills: Kills) -> Verdict {
    let mut check = Check::new(names, ledger);
    for read in reads {
        check.take(read);
    }
    let committed = ledger.committed.len() as u64;
    let published = check.seen.len() as u64;
    Verdict {
        committed,
        published,
        lost: committed - published,
        rolled_back: ledger.rolled_back.len() as u64,
        duplicates_max: kills.repeats_max,
        kills: kills.count,
        ..check.verdict
    }
}

struct Check<'a> {
    topics: HashMap<Kind, String>,
    committed: HashMap<&'a str, &'a Event>,
    rolled_back: HashSet<&'a str>,
    /// Ids of committed events that were read.
    seen: HashSet<&'a str>,
    lanes: HashMap<(Kind, &'a str), Lane>,
    verdict: Verdict,
}

/// How far one aggregate has got.
struct Lane {
    partition: i32,
    version: i64,
}

impl<'a> Check<'a> {
    fn new(names: &Names, ledger: &'a Ledger) -> Self {
        let by_id = |event: &'a Event| (event.id.as_str(), event);
        Self {
            topics: Kind::ALL.map(|kind| (kind, names.topic(kind))).into(),
            committed: ledger.committed.iter().map(by_id).collect(),
            rolled_back: ledger.rolled_back.iter().map(|event| event.id.as_str()).collect(),
            seen: HashSet::new(),
            lanes: HashMap::new(),
            verdict: Verdict::default(),
        }
    }

    fn take(&mut self, read: &Read) {
        let Some(&event) = self.committed.get(read.id.as_str()) else {
            match self.rolled_back.contains(read.id.as_str()) {
                true => self.verdict.rolled_back_published += 1,
                false => self.verdict.unknown += 1,
            }
            return;
        };
        if !self.is_faithful(read, event) {
            self.verdict.altered += 1;
        }
        if !self.seen.insert(&event.id) {
            self.verdict.duplicates += 1;
        } else if !self.is_next(read, event) {
            self.verdict.out_of_order += 1;
        }
    }

    fn is_faithful(&self, read: &Read, event: &Event) -> bool {
        self.topics.get(&event.kind) == Some(&read.topic)
            && read.key.as_deref() == Some(event.key.as_bytes())
            && read.value.as_deref() == Some(event.payload.as_bytes())
    }

    /// Whether this first record comes after all earlier ones of its aggregate.
    fn is_next(&mut self, read: &Read, event: &'a Event) -> bool {
        let Read { partition, .. } = *read;
        let Event { version, .. } = *event;
        match self.lanes.entry((event.kind, &event.key)) {
            Entry::Vacant(lane) => {
                lane.insert(Lane { partition, version });
                true
            }
            Entry::Occupied(mut lane) => {
                let lane = lane.get_mut();
                let next = lane.partition == partition && lane.version < version;
                lane.version = lane.version.max(version);
                next
            }
        }
    }
}

#[cfg(test)]
mod tests;
