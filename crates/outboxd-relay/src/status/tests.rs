use outboxd_core::time::PgTimestamp;

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

fn slot() -> Slot {
    Slot {
        plugin: Some("pgoutput".to_owned()),
        database: Some("shop".to_owned()),
        temporary: false,
        two_phase: false,
        active_pid: Some(7),
        confirmed: Some(Lsn::new(0x1000)),
        lost: None,
        wal_status: Some("reserved".to_owned()),
        safe_wal_bytes: Some(3 << 30),
        retained_wal_bytes: Some(16 << 20),
    }
}

fn observed(slot: Option<Slot>, locked: bool) -> Observed {
    let parked = Some(Parked { events: 0, dead: 0, keys: 0 });
    Observed { slot, wal_end: Lsn::new(0x3000), now_ms: NOW_MS, locked, parked }
}

/// Written two seconds ago.
fn recorded(position: u64) -> Recorded {
    Recorded { position: Lsn::new(position), last_commit: None, written_at_ms: NOW_MS - 2_000 }
}

fn report(recorded: Option<Recorded>, observed: Observed) -> StatusReport {
    let question = Question {
        name: "shop".to_owned(),
        slot: "outboxd_shop".to_owned(),
        database: "shop".to_owned(),
        recorded,
    };
    StatusReport::new(&question, observed)
}

#[test]
fn a_streaming_relay() {
    let report = report(Some(recorded(0x2000)), observed(Some(slot()), true));
    assert_eq!(report.exit_code(None), 0);
    insta::assert_snapshot!(report, @"
    relay     shop (slot outboxd_shop, database shop)
    state     active, streaming
    position  0/2000 recorded, 0/1000 confirmed, 0/3000 end of WAL
    lag       4.0 KiB, 2.0 s
    slot      reserved, holds 16.0 MiB of WAL, 3.0 GiB until it is lost
    ");
}

#[test]
fn what_is_parked_is_said() {
    let parked = Some(Parked { events: 12, dead: 2, keys: 1 });
    let report = report(None, Observed { parked, ..observed(Some(slot()), true) });
    assert!(report.to_string().ends_with("parked    12 events of 1 keys, 2 of them at fault\n"));
}

#[test]
fn the_json_has_stable_names() {
    let report = report(Some(recorded(0x2000)), observed(Some(slot()), true));
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "name": "shop",
      "slot": "outboxd_shop",
      "database": "shop",
      "active": true,
      "streaming": true,
      "wal_end": "0/3000",
      "confirmed": "0/1000",
      "recorded": "0/2000",
      "lag_bytes": 4096,
      "lag_seconds": 2.0,
      "slot_health": {
        "exists": true,
        "lost": null,
        "wal_status": "reserved",
        "retained_wal_bytes": 16777216,
        "safe_wal_bytes": 3221225472
      },
      "parked": {
        "events": 0,
        "dead": 0,
        "keys": 0
      }
    }
    "#);
}

#[test]
fn nothing_set_up_yet() {
    let report = report(None, observed(None, false));
    assert_eq!(report.exit_code(None), 3);
    assert_eq!(
        report.problems(Some(Duration::from_secs(60))),
        [
            "slot outboxd_shop does not exist",
            "no relay is active",
            "the lag is not known: no progress is recorded",
        ]
    );
    insta::assert_snapshot!(report, @"
    relay     shop (slot outboxd_shop, database shop)
    state     no relay is active
    position  unknown recorded, unknown confirmed, 0/3000 end of WAL
    lag       unknown, unknown
    slot      missing
    ");
}

#[test]
fn a_lost_slot_is_a_problem_even_when_it_is_held() {
    let lost = Slot { lost: Some("wal_removed".to_owned()), wal_status: None, ..slot() };
    let report = report(Some(recorded(0x2000)), observed(Some(lost), true));
    assert_eq!(report.problems(None), ["slot outboxd_shop is lost: wal_removed"]);
    assert!(report.to_string().contains("slot      lost: wal_removed, holds"), "{report}");
}

#[test]
fn a_relay_that_keeps_its_lock_is_active_without_streaming() {
    let idle = || Some(Slot { active_pid: None, ..slot() });
    let held = report(Some(recorded(0x2000)), observed(idle(), true));
    assert_eq!((held.exit_code(None), held.active, held.streaming), (0, true, false));
    let left = report(Some(recorded(0x2000)), observed(idle(), false));
    assert_eq!(left.problems(None), ["no relay is active"]);
}

#[test]
fn the_limit_itself_is_no_problem() {
    let report = report(Some(recorded(0x2000)), observed(Some(slot()), true));
    assert_eq!(report.exit_code(Some(Duration::from_secs(2))), 0);
    let limit = Some(Duration::from_millis(1999));
    assert_eq!(report.problems(limit), ["the lag of 2.0 s is above 1.999 s"]);
}

#[test]
fn lag_is_the_age_of_the_commit_the_position_stands_behind() {
    let commit = |lsn| {
        Some(Commit { lsn: Lsn::new(lsn), time: PgTimestamp::from_unix_millis(NOW_MS - 90_000) })
    };
    let lag = |last_commit| {
        let recorded = Recorded { last_commit, ..recorded(0x2000) };
        report(Some(recorded), observed(Some(slot()), true)).lag_seconds
    };
    assert_eq!(lag(commit(0x2000 - 48)), Some(90.0));
    // Idle WAL has been passed since: caught up when that was written down.
    assert_eq!(lag(commit(0x2000 - 72)), Some(2.0));
}

#[test]
fn nothing_behind_the_position_is_no_lag_however_old_it_is() {
    let recorded = Recorded { written_at_ms: 0, ..recorded(0x3000) };
    let report = report(Some(recorded), observed(Some(slot()), true));
    assert_eq!((report.lag_bytes, report.lag_seconds), (Some(0), Some(0.0)));
}

#[test]
fn a_relay_whose_clock_is_ahead_has_no_negative_lag() {
    let recorded = Recorded { written_at_ms: NOW_MS + 5_000, ..recorded(0x2000) };
    assert_eq!(report(Some(recorded), observed(Some(slot()), true)).lag_seconds, Some(0.0));
}
