//! Planted faults, each of which must be found, and nothing else with it.

use super::*;

const PARTITIONS: i32 = 4;
const KEYS: usize = 5;

/// Rows of five keys in turn, and the records that a faultless relay makes of them.
fn published(count: usize) -> (Vec<Row>, Vec<Record>) {
    let rows: Vec<Row> = (0..count).map(row).collect();
    let mut records: Vec<Record> = rows.iter().enumerate().map(record).collect();
    records.sort_by_key(|record| record.partition);
    (rows, records)
}

fn row(index: usize) -> Row {
    Row {
        id: format!("id-{index}"),
        key: Some(format!("key-{}", index % KEYS).into_bytes()),
        event_type: "Happened".to_owned(),
        value: Some(format!("value {index}").into_bytes()),
        seq: (index / KEYS) as i64,
    }
}

fn record((index, row): (usize, &Row)) -> Record {
    let sequence = format!("0001-{:016X}-{:08X}", 100 + index / 3, index % 3);
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    Record {
        partition: partition(row.key.as_deref(), row.id.as_bytes(), PARTITIONS.unsigned_abs()),
        offset: index as i64,
        key: row.key.clone(),
        value: row.value.clone(),
        headers: vec![
            header("id", &row.id),
            header("type", &row.event_type),
            header("sequence", &sequence),
        ],
        timestamp_ms: Some(0),
    }
}

/// The places of two neighbours of one partition that satisfy the condition.
fn neighbours(records: &[Record], wanted: impl Fn(&Record, &Record) -> bool) -> usize {
    let pairs = records.windows(2).enumerate();
    let mut found = pairs
        .filter(|(_, pair)| pair[0].partition == pair[1].partition && wanted(&pair[0], &pair[1]));
    found.next().unwrap().0
}

fn verdict(rows: &[Row], records: &[Record]) -> Verdict {
    check(rows, records, PARTITIONS)
}

#[test]
fn a_faultless_stream_is_perfect() {
    let (rows, records) = published(100);
    let verdict = verdict(&rows, &records);
    assert_eq!(verdict, Verdict { rows: 100, records: 100, ..Verdict::default() });
    verdict.expect_perfect().unwrap();
}

#[test]
fn a_dropped_record_is_lost() {
    let (rows, mut records) = published(100);
    let id = records.remove(40).header("id").unwrap().to_owned();
    let verdict = verdict(&rows, &records);
    assert_eq!(verdict.lost, [id]);
    assert!(verdict.expect_repeats_up_to(10).is_err());
}

#[test]
fn two_swapped_records_of_a_key_are_disordered() {
    let (rows, mut records) = published(100);
    let at = neighbours(&records, |one, other| one.key == other.key);
    records.swap(at, at + 1);
    let verdict = verdict(&rows, &records);
    assert_eq!(verdict.disordered.len(), 2, "by key and by sequence");
    assert!(verdict.expect_repeats_up_to(10).is_err());
}

#[test]
fn two_swapped_records_of_different_keys_show_in_their_sequence() {
    let (rows, mut records) = published(100);
    let at = neighbours(&records, |one, other| one.key != other.key);
    records.swap(at, at + 1);
    let verdict = verdict(&rows, &records);
    assert_eq!(verdict.disordered.len(), 1);
}

#[test]
fn a_repeated_record_is_a_duplicate_and_a_rewind() {
    let (rows, mut records) = published(100);
    records.insert(41, records[40].clone());
    let verdict = verdict(&rows, &records);
    assert_eq!((verdict.duplicates.len(), verdict.rewinds), (1, 1));
    verdict.expect_repeats_up_to(1).unwrap();
    assert!(verdict.expect_repeats_up_to(0).is_err());
    assert!(verdict.expect_perfect().is_err());
}

#[test]
fn a_rewind_that_leaves_one_out_is_a_hole() {
    let (rows, records) = published(100);
    let partition = records[0].partition;
    let (mut one, others): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.partition == partition);
    assert!(one.len() > 10);
    let again: Vec<_> = one[3..8].to_vec();
    one.splice(8..8, again.clone());
    let whole = [one.clone(), others.clone()].concat();
    verdict(&rows, &whole).expect_repeats_up_to(5).unwrap();
    one.remove(8 + 2);
    let holed = verdict(&rows, &[one, others].concat());
    assert_eq!(holed.holes.len(), 1);
    assert!(holed.expect_repeats_up_to(5).is_err());
}

#[test]
fn a_record_without_a_row_is_a_phantom() {
    let (rows, mut records) = published(100);
    let mut phantom = records[40].clone();
    phantom.headers[0].1 = b"id-never".to_vec();
    records.insert(41, phantom);
    let verdict = verdict(&rows, &records);
    assert_eq!((verdict.phantoms.len(), verdict.lost.len()), (1, 0));
    assert!(verdict.expect_repeats_up_to(10).is_err());
}

#[test]
fn another_partition_is_a_wrong_place() {
    let (rows, mut records) = published(100);
    let mut moved = records.pop().unwrap();
    moved.partition = (moved.partition + 1) % PARTITIONS;
    records.push(moved);
    let verdict = verdict(&rows, &records);
    assert_eq!(verdict.misplaced.len(), 1);
    assert!(verdict.expect_repeats_up_to(10).is_err());
}

#[test]
fn every_part_of_a_record_is_compared() {
    let spoilers: [fn(&mut Record); 9] = [
        |record| record.value.as_mut().unwrap()[3] ^= 1,
        |record| record.value = None,
        |record| record.key.as_mut().unwrap()[0] ^= 1,
        |record| record.key = None,
        |record| record.headers[1].1[0] ^= 1,
        |record| drop(record.headers.remove(1)),
        |record| drop(record.headers.remove(2)),
        |record| record.headers[2].1[20] = b'x',
        |record| record.headers.push(("type".to_owned(), b"Other".to_vec())),
    ];
    for (index, spoil) in spoilers.iter().enumerate() {
        let (rows, mut records) = published(100);
        spoil(&mut records[40]);
        let verdict = verdict(&rows, &records);
        assert_eq!(verdict.corrupt.len(), 1, "spoiler {index}: {verdict:?}");
        assert!(verdict.expect_repeats_up_to(10).is_err());
    }
}

#[test]
fn a_sequence_is_given_once_and_kept() {
    let (rows, mut records) = published(100);
    records[41].headers[2] = records[40].headers[2].clone();
    assert!(!verdict(&rows, &records).corrupt.is_empty());

    let (rows, mut records) = published(100);
    let mut again = records[40].clone();
    again.headers[2].1[4 + 1 + 16 + 8] = b'F';
    records.insert(41, again);
    assert_eq!(verdict(&rows, &records).corrupt.len(), 1);
}
