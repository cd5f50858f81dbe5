//! What only shows in the order of records.

use std::collections::HashMap;

use super::{Verdict, told};
use crate::topic::Record;
use crate::truth::Row;

/// First occurrences of each key follow the order in which their rows were committed. Rows without
/// a key were promised no order.
pub(super) fn check_order_of_keys(
    truth: &HashMap<&str, &Row>,
    records: &[Record],
    verdict: &mut Verdict,
) {
    let mut last: HashMap<&[u8], i64> = HashMap::new();
    let mut seen = HashMap::new();
    for record in records {
        let Some(row) = row_of(truth, record) else { continue };
        let Some(key) = row.key.as_deref() else { continue };
        if seen.insert(row.id.as_str(), ()).is_some() {
            continue;
        }
        if let Some(former) = last.insert(key, row.seq)
            && former >= row.seq
        {
            verdict.disordered.push(format!("{}: {} after {former}", told(record), row.seq));
        }
    }
}

/// Each partition is its first occurrences in rising sequence, with steps back after which the same
/// records come again without a hole.
pub(super) fn check_partitions(
    truth: &HashMap<&str, &Row>,
    records: &[Record],
    verdict: &mut Verdict,
) {
    let mut partitions: HashMap<i32, Partition<'_>> = HashMap::new();
    for record in records {
        let Some(row) = row_of(truth, record) else { continue };
        partitions.entry(record.partition).or_default().take(row, record, verdict);
    }
}

fn row_of<'a>(truth: &HashMap<&str, &'a Row>, record: &Record) -> Option<&'a Row> {
    truth.get(record.header("id").unwrap_or("")).copied()
}

#[derive(Default)]
struct Partition<'a> {
    /// Places of the first occurrences.
    places: HashMap<&'a str, usize>,
    /// The place of the last record.
    place: Option<usize>,
    /// The sequence of the last first occurrence.
    sequence: Option<&'a str>,
}

impl<'a> Partition<'a> {
    fn take(&mut self, row: &'a Row, record: &'a Record, verdict: &mut Verdict) {
        let next = self.places.len();
        let place = *self.places.entry(&row.id).or_insert(next);
        let expected = self.place.map_or(0, |place| place + 1);
        if place > expected {
            verdict.holes.push(told(record));
        }
        if place < expected {
            verdict.rewinds += 1;
        }
        self.place = Some(place);
        if place == next {
            let former = std::mem::replace(&mut self.sequence, record.header("sequence"));
            if former.is_some() && former >= self.sequence {
                verdict.disordered.push(format!("{} after {former:?}", told(record)));
            }
        }
    }
}
