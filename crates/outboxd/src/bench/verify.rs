//! Whether a topic holds exactly the rows of a backlog.
//!
//! Rows carry their number, their id and their key in the payload, so each record can be judged by
//! itself, and all of them by the numbers.

use std::collections::HashMap;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// A record as it was read.
pub(crate) struct Seen<'a> {
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// The header of that name.
    pub(crate) id: Option<&'a [u8]>,
    /// Milliseconds since the Unix epoch.
    pub(crate) append_ms: i64,
}

/// What a row says of itself.
#[derive(Deserialize)]
pub(crate) struct Payload<'a> {
    pub(crate) seq: u64,
    #[serde(borrow)]
    id: &'a str,
    #[serde(borrow)]
    key: &'a str,
}

/// Counts while reading. Rows are numbered from 1.
pub(crate) struct Tally {
    /// By number of the row.
    ids: Vec<Option<u128>>,
    /// By key: its partition, and the last row that came for the first time.
    keys: HashMap<Box<[u8]>, (i32, u64)>,
    verdict: Verdict,
}

/// All zero but `records` and `distinct` when nothing went wrong and nothing came twice.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) records: u64,
    /// Ids of rows that are there.
    pub(crate) distinct: u64,
    pub(crate) duplicates: u64,
    pub(crate) missing: u64,
    /// Neither readable nor a row of the backlog.
    pub(crate) unknown: u64,
    pub(crate) wrong_key: u64,
    /// The header is absent or not the row's id, or the id is another row's.
    pub(crate) wrong_id: u64,
    /// First copies that came after a later row of their key.
    pub(crate) out_of_order: u64,
    /// Records of a key that has others in another partition.
    pub(crate) moved: u64,
    pub(crate) first_append_ms: i64,
    pub(crate) last_append_ms: i64,
}

impl Tally {
    pub(crate) fn new(rows: u64) -> Self {
        let rows = usize::try_from(rows).expect("a backlog fits into memory");
        let verdict = Verdict { first_append_ms: i64::MAX, ..Verdict::default() };
        Self { ids: vec![None; rows], keys: HashMap::new(), verdict }
    }

    pub(crate) fn observe(&mut self, seen: &Seen<'_>) {
        let verdict = &mut self.verdict;
        verdict.records += 1;
        verdict.first_append_ms = verdict.first_append_ms.min(seen.append_ms);
        verdict.last_append_ms = verdict.last_append_ms.max(seen.append_ms);
        let payload =
            seen.value.and_then(|value| serde_json::from_slice::<Payload<'_>>(value).ok());
        let Some((payload, index)) = payload.and_then(|payload| {
            let index = usize::try_from(payload.seq.checked_sub(1)?).ok()?;
            (index < self.ids.len()).then_some((payload, index))
        }) else {
            verdict.unknown += 1;
            return;
        };
        verdict.wrong_key += u64::from(seen.key != Some(payload.key.as_bytes()));
        verdict.wrong_id += u64::from(seen.id != Some(payload.id.as_bytes()));
        let is_new = self.ids[index].is_none();
        verdict.duplicates += u64::from(!is_new);
        self.ids[index] = Some(number_of(payload.id));
        self.follow_key(seen, payload.seq, is_new);
    }

    fn follow_key(&mut self, seen: &Seen<'_>, seq: u64, is_new: bool) {
        let key = seen.key.unwrap_or_default();
        let Some((partition, last)) = self.keys.get_mut(key) else {
            self.keys.insert(key.into(), (seen.partition, seq));
            return;
        };
        self.verdict.moved += u64::from(*partition != seen.partition);
        if is_new {
            self.verdict.out_of_order += u64::from(seq < *last);
            *last = seq.max(*last);
        }
    }

    pub(crate) fn verdict(self) -> Verdict {
        let rows = self.ids.len();
        let mut ids: Vec<u128> = self.ids.into_iter().flatten().collect();
        let present = ids.len();
        ids.sort_unstable();
        ids.dedup();
        Verdict {
            distinct: ids.len() as u64,
            missing: (rows - present) as u64,
            wrong_id: self.verdict.wrong_id + (present - ids.len()) as u64,
            ..self.verdict
        }
    }
}

impl Verdict {
    /// An error names everything that is wrong.
    pub(crate) fn check(&self, duplicates_max: u64) -> anyhow::Result<()> {
        let Self { missing, unknown, wrong_key, wrong_id, out_of_order, moved, .. } = self;
        let wrong = missing + unknown + wrong_key + wrong_id + out_of_order + moved;
        ensure!(
            wrong == 0 && self.duplicates <= duplicates_max,
            "the topic is wrong (at most {duplicates_max} duplicates are right): {self:?}"
        );
        Ok(())
    }
}

/// An id without its dashes.
fn number_of(id: &str) -> u128 {
    let digits = id.chars().filter_map(|character| character.to_digit(16));
    digits.fold(0, |number, digit| number << 4 | u128::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sent {
        partition: i32,
        key: String,
        value: String,
        id: Option<String>,
    }

    /// Row `seq` of three keys, each of which has a partition of its own.
    fn sent(seq: u64) -> Sent {
        let (key, id) = (format!("k{}", seq % 3), format!("00000000-0000-4000-8000-{seq:012}"));
        Sent {
            partition: i32::try_from(seq % 3).unwrap(),
            value: format!(r#"{{"id": "{id}", "key": "{key}", "seq": {seq}, "note": "x"}}"#),
            key,
            id: Some(id),
        }
    }

    fn verdict_of(rows: u64, records: &[Sent]) -> Verdict {
        let mut tally = Tally::new(rows);
        for (record, append_ms) in records.iter().zip(1000..) {
            tally.observe(&Seen {
                partition: record.partition,
                key: Some(record.key.as_bytes()),
                value: Some(record.value.as_bytes()),
                id: record.id.as_deref().map(str::as_bytes),
                append_ms,
            });
        }
        tally.verdict()
    }

    /// The topic with one fault, of which the check must name exactly this.
    fn planted(fault: impl FnOnce(&mut Vec<Sent>), expected: impl FnOnce(&mut Verdict)) {
        let mut records: Vec<Sent> = (1..=9).map(sent).collect();
        fault(&mut records);
        let verdict = verdict_of(9, &records);
        let mut right = Verdict {
            records: records.len() as u64,
            distinct: 9,
            first_append_ms: 1000,
            last_append_ms: 999 + records.len() as i64,
            ..Verdict::default()
        };
        expected(&mut right);
        assert_eq!(verdict, right);
        assert!(verdict.check(0).is_err());
    }

    #[test]
    fn all_rows_once_in_order_are_right() {
        let records: Vec<Sent> = (1..=9).map(sent).collect();
        let verdict = verdict_of(9, &records);
        assert_eq!((verdict.records, verdict.distinct), (9, 9));
        verdict.check(0).unwrap();
    }

    #[test]
    fn order_between_keys_is_free() {
        let mut records: Vec<Sent> = (1..=9).map(sent).collect();
        records.sort_by_key(|record| record.partition);
        verdict_of(9, &records).check(0).unwrap();
    }

    #[test]
    fn faults_are_named() {
        planted(|it| drop(it.remove(4)), |it| (it.missing, it.distinct) = (1, 8));
        planted(|it| it.swap(2, 5), |it| it.out_of_order = 1);
        planted(|it| it[4].key = "k9".to_owned(), |it| it.wrong_key = 1);
        planted(|it| it[7].partition = 0, |it| it.moved = 1);
        planted(|it| it[3].id = None, |it| it.wrong_id = 1);
        planted(|it| it[3].id = sent(2).id, |it| it.wrong_id = 1);
        planted(|it| it.push(sent(10)), |it| it.unknown = 1);
        let garbage = |it: &mut Vec<Sent>| it[8].value = "no json".to_owned();
        planted(garbage, |it| (it.unknown, it.missing, it.distinct) = (1, 1, 8));
        let stolen = |it: &mut Vec<Sent>| {
            it[5].value = it[5].value.replace("000006", "000003");
            it[5].id = sent(3).id;
        };
        planted(stolen, |it| (it.wrong_id, it.distinct) = (1, 8));
    }

    #[test]
    fn duplicates_are_wrong_above_their_bound_only_and_may_go_back() {
        let records: Vec<Sent> = (1..=6).chain(4..=9).map(sent).collect();
        let verdict = verdict_of(9, &records);
        assert_eq!((verdict.records, verdict.distinct, verdict.duplicates), (12, 9, 3));
        verdict.check(3).unwrap();
        assert!(verdict.check(2).is_err());
    }
}
