//! Compares what was committed with what was published. A pure function; its own tests plant each
//! fault that it has to find.

mod stream;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use outboxd_core::murmur2::partition;

use crate::topic::Record;
use crate::truth::Row;

/// What was found. Each entry of a list names one violation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    pub rows: usize,
    pub records: usize,
    /// Committed and not published.
    pub lost: Vec<String>,
    /// Published and not committed.
    pub phantoms: Vec<String>,
    /// One entry for each time beyond the first.
    pub duplicates: Vec<String>,
    /// First occurrences of a key out of the order of commits, or of the sequence header.
    pub disordered: Vec<String>,
    /// In another partition than the Java client's.
    pub misplaced: Vec<String>,
    /// Key, value or headers that are not those of the row.
    pub corrupt: Vec<String>,
    /// Past a step back, records were left out that had been there before.
    pub holes: Vec<String>,
    /// How often a partition stepped back to an earlier record.
    pub rewinds: usize,
}

/// `records` in the order of each partition.
pub fn check(rows: &[Row], records: &[Record], partitions: i32) -> Verdict {
    let truth: HashMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut verdict = Verdict { rows: rows.len(), records: records.len(), ..Verdict::default() };
    let mut seen: HashMap<&str, &Record> = HashMap::new();
    for record in records {
        let id = record.header("id").unwrap_or("");
        let Some(row) = truth.get(id) else {
            verdict.phantoms.push(told(record));
            continue;
        };
        verdict.compare(row, record, partitions);
        match seen.get(id) {
            None => drop(seen.insert(id, record)),
            Some(first) => verdict.repeated(first, record),
        }
    }
    let lost = rows.iter().filter(|row| !seen.contains_key(row.id.as_str()));
    verdict.lost = lost.map(|row| row.id.clone()).collect();
    verdict.check_sequences(&seen);
    stream::check_order_of_keys(&truth, records, &mut verdict);
    stream::check_partitions(&truth, records, &mut verdict);
    verdict
}

impl Verdict {
    /// Every row once, in order, as one relay does that is never killed.
    pub fn expect_perfect(&self) -> Result<()> {
        self.expect_repeats_up_to(0)?;
        ensure!(self.rewinds == 0, "{} rewinds: {self:?}", self.rewinds);
        Ok(())
    }

    /// Nothing lost, nothing wrong, and at most that many records more than rows.
    pub fn expect_repeats_up_to(&self, bound: u64) -> Result<()> {
        let violations = [
            ("lost", &self.lost),
            ("phantoms", &self.phantoms),
            ("disordered", &self.disordered),
            ("misplaced", &self.misplaced),
            ("corrupt", &self.corrupt),
            ("holes", &self.holes),
        ];
        let found: Vec<String> = violations
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| {
                format!("{} {name}: {:?}", list.len(), &list[..list.len().min(SHOWN)])
            })
            .collect();
        let total = format!("{} rows, {} records", self.rows, self.records);
        ensure!(found.is_empty(), "{total}; {}", found.join("; "));
        let repeats = self.duplicates.len() as u64;
        ensure!(repeats <= bound, "{total}; {repeats} duplicates, {bound} allowed");
        Ok(())
    }

    fn compare(&mut self, row: &Row, record: &Record, partitions: i32) {
        let count = partitions.unsigned_abs();
        if record.partition != partition(row.key.as_deref(), row.id.as_bytes(), count) {
            self.misplaced.push(told(record));
        }
        let same = record.key == row.key
            && record.value == row.value
            && record.header("type") == Some(row.event_type.as_str())
            && record.header("sequence").is_some_and(is_sequence)
            && names_are_unique(record);
        if !same {
            self.corrupt.push(format!("{} is not {row:?}", told(record)));
        }
    }

    fn repeated(&mut self, first: &Record, again: &Record) {
        self.duplicates.push(told(again));
        if first.header("sequence") != again.header("sequence") {
            self.corrupt.push(format!("{} was {}", told(again), told(first)));
        }
    }

    /// No two events stand at the same place.
    fn check_sequences(&mut self, seen: &HashMap<&str, &Record>) {
        let mut taken = HashSet::new();
        for record in seen.values() {
            if !taken.insert(record.header("sequence")) {
                self.corrupt.push(format!("{}: sequence taken", told(record)));
            }
        }
    }
}

/// `<epoch, 4>-<commit LSN, 16>-<ordinal, 8>` in upper-case hexadecimal digits.
fn is_sequence(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [4, 16, 8] && parts.into_iter().all(digits)
}

fn names_are_unique(record: &Record) -> bool {
    let mut names = HashSet::new();
    record.headers.iter().all(|(name, _)| names.insert(name))
}

/// A record in a few words.
fn told(record: &Record) -> String {
    let id = record.header("id").unwrap_or("no id");
    let sequence = record.header("sequence").unwrap_or("no sequence");
    let key = record.key_text();
    format!("{}:{} {key:?} {id} at {sequence}", record.partition, record.offset)
}

const SHOWN: usize = 5;
