//! Progress topics as relays leave them, and the texts of positions.

use outboxd_core::lsn::Lsn;
use outboxd_core::progress::{FORMAT, Progress, progress_key, topic_key, topic_value};
use outboxd_core::window::{LastCommit, Partial};

use crate::progress::join;

pub(super) fn progress() -> Vec<Vec<u8>> {
    let (first, second) = (plain(1), full());
    let (key_1, key_2, value_1, value_2) =
        (first.key(), second.key(), first.value(), second.value());
    let (topic, other) = (topic_key("outbox.event.order"), topic_key("a"));
    let (three, six) = (topic_value(3), topic_value(6));
    let zombie = Progress { end_lsn: Lsn::new(0x2000), ..plain(1) };
    let late = zombie.value();
    let future = br#"{"format":2,"position":[1]}"#;
    let mut seeds = vec![
        join(&[(&key_1, Some(&value_1))]),
        join(&[(&key_2, Some(&value_2))]),
        join(&[(&key_1, Some(&value_1)), (&topic, Some(&three)), (&key_2, Some(&value_2))]),
        join(&[(&key_2, Some(&value_2)), (&key_1, Some(&late)), (&key_1, None)]),
        join(&[(&topic, Some(&three)), (&topic, Some(&six)), (&other, None)]),
        join(&[(&progress_key(3), Some(future))]),
        join(&[(&progress_key(7), None), (&key_1, Some(&value_2))]),
    ];
    seeds.extend(TEXTS.map(|text| text.as_bytes().to_vec()));
    seeds
}

fn plain(acquisition: u64) -> Progress {
    Progress {
        format: FORMAT,
        acquisition,
        epoch: 1,
        system_id: "7300000000000000001".to_owned(),
        timeline: 1,
        database: "shop".to_owned(),
        slot: "outboxd_shop".to_owned(),
        creating: true,
        end_lsn: Lsn::new(0x1000),
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
        creating: false,
        end_lsn: Lsn::new(0x16_B374_D848),
        partial: Some(Partial { commit_lsn: Lsn::new(0x16_B374_D900), changes: 4 }),
        last_event_lsn: commit_lsn,
        last_commit: Some(LastCommit { commit_lsn, xid: 812, time_us: -5 }),
        released: vec![7, i64::MIN],
        unrecorded_events_max: 9,
        written_at_ms: 1_795_000_000_000,
        ..plain(u64::MAX)
    }
}

const TEXTS: [&str; 6] = [
    "0001-00000000016B3748-00000002",
    "FFFF-FFFFFFFFFFFFFFFF-FFFFFFFF",
    "0001-00000000016b3748-00000002",
    "16/B374D848",
    "0/0",
    "FFFFFFFF/FFFFFFFF",
];
