//! Reading the progress topic back, whatever order and state it is found in.

use proptest::prelude::*;

use super::{FORMAT, Progress, ProgressError, Recorded, progress_key, topic_key, topic_value};
use crate::lsn::Lsn;
use crate::window::{LastCommit, Partial};

#[test]
fn nothing_is_recorded_in_an_empty_topic() {
    assert_eq!(Recorded::read([]), Ok(Recorded::default()));
}

/// A former owner that was frozen writes its last record behind the newer owner's.
#[test]
fn the_highest_acquisition_wins_in_any_order() {
    let records = [record(&progress(2, 200)), record(&progress(3, 300)), record(&progress(1, 900))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let recorded = read(&order.map(|index| records[index].clone())).expect("well-formed");
        assert_eq!(recorded.progress, Some(progress(3, 300)), "{order:?}");
        assert_eq!(recorded.older, [1, 2]);
    }
}

#[test]
fn acquisitions_are_compared_as_numbers() {
    let records = [record(&progress(10, 100)), record(&progress(9, 900))];
    assert_eq!(read(&records).expect("well-formed").progress, Some(progress(10, 100)));
    assert!(progress_key(9) < progress_key(10), "and their keys sort so");
}

/// Two relays may have claimed it: what is late does not set back the one that was found alone.
#[test]
fn the_highest_position_of_an_acquisition_counts() {
    let records = [record(&progress(1, 100)), record(&progress(1, 300)), record(&progress(1, 200))];
    let recorded = read(&records).expect("well-formed");
    assert_eq!(recorded.progress, Some(progress(1, 300)));
    assert_eq!(recorded.older, [0_u64; 0]);
}

#[test]
fn tombstones_take_records_away() {
    let records = [
        record(&progress(1, 100)),
        record(&progress(2, 200)),
        (progress_key(1), None),
        (progress_key(7), None),
        (topic_key("a"), Some(topic_value(3))),
        (topic_key("b"), Some(topic_value(4))),
        (topic_key("a"), None),
    ];
    let recorded = read(&records).expect("well-formed");
    assert_eq!(recorded.progress, Some(progress(2, 200)));
    assert_eq!(recorded.older, [0_u64; 0]);
    assert_eq!(recorded.topics.into_iter().collect::<Vec<_>>(), [("b".to_owned(), 4)]);
}

#[test]
fn the_last_partition_count_of_a_topic_counts() {
    let name = "outbox.event.order/1";
    let records =
        [(topic_key(name), Some(topic_value(3))), (topic_key(name), Some(topic_value(6)))];
    assert_eq!(read(&records).expect("well-formed").topics[name], 6);
}

#[test]
fn another_format_is_named_even_where_the_rest_is_unknown() {
    let future = (progress_key(2), Some(br#"{"format":2,"position":[1]}"#.to_vec()));
    let error = read(&[record(&progress(1, 100)), future]).expect_err("a newer version wrote it");
    assert_eq!(error, ProgressError::Format { offset: 1, format: 2 });
    assert_eq!(error.to_string(), "the record at offset 1 has format 2; this version reads 1");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_offset() {
    let valid = progress(1, 100).value();
    type Case<'a> = (&'a [u8], Option<&'a [u8]>, &'a str);
    let cases: [Case<'_>; 12] = [
        (b"\xff", None, "its key is not text"),
        (b"", Some(b"{}"), "unknown key"),
        (b"progres/1", Some(b"{}"), "unknown key"),
        (b"claim", None, "unknown key"),
        (b"progress/", Some(&valid), "no acquisition"),
        (b"progress/x", None, "no acquisition"),
        (b"progress/18446744073709551616", None, "no acquisition"),
        (b"progress/2", Some(&valid), "its key and its value name different acquisitions"),
        (b"progress/1", Some(b""), "EOF while parsing a value at line 1 column 0"),
        (b"progress/1", Some(br#"{"format":1}"#), "missing field"),
        (b"topic/a", Some(b"{}"), "missing field `partitions`"),
        (b"topic/a", Some(br#"{"partitions":-1}"#), "invalid value: integer `-1`"),
    ];
    for (key, value, expected) in cases {
        let error = Recorded::read([(41, key, value)]).expect_err(expected);
        let ProgressError::Malformed { offset: 41, reason } = error else { panic!("{error}") };
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_record_is_plain_json() {
    let written = String::from_utf8(full().value()).expect("JSON");
    let expected = concat!(
        r#"{"format":1,"acquisition":5,"epoch":2,"system_id":"7300000000000000001","timeline":3,"#,
        r#""database":"shop","slot":"outboxd_shop","creating":false,"end_lsn":"16/B374D848","#,
        r#""partial":{"commit_lsn":"16/B374D900","changes":4},"last_event_lsn":"16/B374D800","#,
        r#""parked_lsn":"0/0","last_commit":{"commit_lsn":"16/B374D800","xid":812,"time_us":-5},"#,
        r#""publication":"f00d","released":[7],"unrecorded_events_max":9,"written_at_ms":1}"#,
    );
    assert_eq!(written, expected);
    let recorded = read(&[record(&full())]).expect("well-formed");
    assert_eq!(recorded.progress, Some(full()));
}

#[test]
fn the_newest_identity_is_the_highest_of_all_that_left_the_database() {
    let lsn = Lsn::new;
    for (event, partial, parked, newest) in
        [(5, None, 0, 5), (5, Some(7), 6, 7), (5, Some(7), 9, 9), (0, None, 0, 0)]
    {
        let progress = Progress {
            last_event_lsn: lsn(event),
            partial: partial.map(|at| Partial { commit_lsn: lsn(at), changes: 1 }),
            parked_lsn: lsn(parked),
            ..progress(1, 100)
        };
        assert_eq!(progress.newest_identity(), lsn(newest));
    }
}

#[test]
fn a_window_starts_from_what_is_recorded() {
    let durable = full().durable();
    assert_eq!(durable.end_lsn, full().end_lsn);
    assert_eq!(durable.partial, full().partial);
    assert_eq!(durable.last_commit, full().last_commit);
    assert_eq!(durable.last_event_lsn, full().last_event_lsn);
}

proptest! {
    #[test]
    fn no_bytes_panic(
        key in prop_oneof![
            Just(progress_key(1)), Just(topic_key("a")), prop::collection::vec(any::<u8>(), 0..12),
        ],
        value in prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (0..600_usize).prop_map(|length| {
                let mut value = full().value();
                value.truncate(length);
                value
            }),
        ]),
    ) {
        let tombstone = value.is_none();
        let outcome = read(&[(key, value)]);
        if !tombstone && let Ok(recorded) = outcome {
            prop_assert!(recorded.progress.is_some() || !recorded.topics.is_empty());
        }
    }
}

/// A record of the slot `outboxd_shop` on timeline 3, with nothing but its position.
pub(crate) fn progress(acquisition: u64, end_lsn: u64) -> Progress {
    Progress {
        format: FORMAT,
        acquisition,
        epoch: 2,
        system_id: "7300000000000000001".to_owned(),
        timeline: 3,
        database: "shop".to_owned(),
        slot: "outboxd_shop".to_owned(),
        creating: false,
        end_lsn: Lsn::new(end_lsn),
        partial: None,
        last_event_lsn: Lsn::ZERO,
        parked_lsn: Lsn::ZERO,
        last_commit: None,
        publication: "f00d".to_owned(),
        released: Vec::new(),
        unrecorded_events_max: 0,
        written_at_ms: 0,
    }
}

fn full() -> Progress {
    let commit_lsn = Lsn::new(0x16_B374_D800);
    Progress {
        partial: Some(Partial { commit_lsn: Lsn::new(0x16_B374_D900), changes: 4 }),
        last_event_lsn: commit_lsn,
        last_commit: Some(LastCommit { commit_lsn, xid: 812, time_us: -5 }),
        released: vec![7],
        unrecorded_events_max: 9,
        written_at_ms: 1,
        ..progress(5, 0x16_B374_D848)
    }
}

type Raw = (Vec<u8>, Option<Vec<u8>>);

fn record(progress: &Progress) -> Raw {
    (progress.key(), Some(progress.value()))
}

fn read(records: &[Raw]) -> Result<Recorded, ProgressError> {
    let numbered = records.iter().zip(0..);
    Recorded::read(
        numbered.map(|((key, value), offset)| (offset, key.as_slice(), value.as_deref())),
    )
}
