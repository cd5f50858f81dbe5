//! Each gap has its plan, and whatever moment it is interrupted at, the gate stops.

use super::{Basis, Phantoms, Plan, Repair, Request, Since, SlotAction, Stored, plan};
use crate::gate::tests::{Scene, right};
use crate::gate::{SystemId, TimelineSwitch, decide};
use crate::headers::Sequence;
use crate::lsn::Lsn;
use crate::progress::Progress;
use crate::record::Identity;
use crate::stop::{Code, Stop};
use crate::time::PgTimestamp;
use crate::window::LastCommit;

const LAST_COMMIT_MS: i64 = 1_800_000_000_000;
const TEN_MINUTES_MS: i64 = 600_000;
const NOW_MS: i64 = LAST_COMMIT_MS + 86_400_000;

fn request() -> Request {
    Request { since_ms: None, force: false, stored: Stored::All, now_ms: NOW_MS }
}

fn decide_on(scene: &Scene, request: Request) -> Result<Repair, Stop> {
    plan(scene.progress.as_ref(), &scene.observed, &scene.rules, request)
}

fn needed(scene: &Scene) -> Plan {
    match decide_on(scene, request()) {
        Ok(Repair::Needed(plan)) => *plan,
        other => panic!("no plan but {other:?}"),
    }
}

fn refused(scene: &Scene) -> Stop {
    decide_on(scene, request()).expect_err("a refusal")
}

/// The scene of the gate's tests, whose relay has recorded a commit.
fn scene() -> Scene {
    right().with(|it| {
        it.progress().last_commit = Some(LastCommit {
            commit_lsn: Lsn::new(990),
            xid: 7,
            time_us: PgTimestamp::from_unix_millis(LAST_COMMIT_MS).as_micros(),
        });
        it.progress().written_at_ms = LAST_COMMIT_MS + 5_000;
    })
}

type Change = fn(&mut Scene);

/// Every gap, and what becomes of the slot.
fn gaps() -> [(Code, SlotAction, Change); 9] {
    use SlotAction::{Create, Keep, Replace};
    [
        (Code::SlotMissing, Create, |it| it.observed.slot = None),
        (Code::SlotLost, Replace, |it| it.slot().lost = Some("wal_removed".to_owned())),
        (Code::SlotMoved, Replace, |it| it.slot().confirmed = Some(Lsn::new(1001))),
        (Code::OtherSystem, Replace, |it| it.observed.server.system_id = SystemId(1)),
        (Code::Diverged, Replace, |it| it.observed.server.timeline = 4),
        (Code::Diverged, Create, |it| diverge(it)),
        (Code::PositionAhead, Replace, |it| it.observed.server.flush_lsn = Lsn::new(950)),
        (Code::SlotMissing, Create, |it| {
            (it.observed.slot, it.observed.server.flush_lsn) = (None, Lsn::new(950));
        }),
        (Code::ProgressLost, Keep(Lsn::new(900)), |it| it.progress = None),
    ]
}

/// Promoted at 950 without the slot; an event past it was published.
fn diverge(it: &mut Scene) {
    it.observed.server.timeline = 4;
    it.observed.server.history = vec![TimelineSwitch { timeline: 3, switch_point: Lsn::new(950) }];
    it.progress().last_event_lsn = Lsn::new(960);
    it.observed.slot = None;
}

#[test]
fn what_no_table_holds_is_not_repaired() {
    for (_, _, change) in gaps() {
        let scene = scene().with(change);
        let of = |stored| decide_on(&scene, Request { stored, ..request() });
        let stop = of(Stored::Nothing).unwrap_err();
        assert_eq!(stop.code, Code::NotStored, "{stop}");
        assert!(stop.detail.is_some_and(|detail| detail.contains("the gap: ")));
        for (stored, lacks) in [(Stored::All, false), (Stored::Some, true)] {
            let Ok(Repair::Needed(plan)) = of(stored) else { panic!("no plan") };
            assert_eq!(plan.lacks_messages, lacks);
        }
    }
    let nothing = decide_on(&scene(), Request { stored: Stored::Nothing, ..request() });
    assert!(matches!(nothing, Ok(Repair::Nothing(_))), "the gate passes: there is no gap");
    let forced = Request { stored: Stored::Nothing, force: true, ..request() };
    assert_eq!(decide_on(&scene(), forced).unwrap_err().code, Code::NotStored);
}

#[test]
fn a_relay_that_would_stream_needs_no_repair() {
    let Ok(Repair::Nothing(entry)) = decide_on(&scene(), request()) else {
        panic!("there is something to repair");
    };
    assert_eq!(entry.progress.end_lsn, Lsn::new(1000));
    let forced = decide_on(&scene(), Request { force: true, ..request() });
    let Ok(Repair::Needed(plan)) = forced else { panic!("{forced:?}") };
    assert_eq!((plan.cause.code, plan.slot), (Code::Diverged, SlotAction::Replace));
    assert_eq!(plan.epoch(), scene().progress().epoch + 1);
}

#[test]
fn each_gap_has_its_plan() {
    for (number, (code, slot, change)) in gaps().into_iter().enumerate() {
        let plan = needed(&scene().with(change));
        assert_eq!((plan.cause.code, plan.slot), (code, slot), "case {number}");
    }
}

/// The one thing that must never happen: a repair that was cut short, and a relay that streams
/// from the new slot as if nothing were missing.
#[test]
fn an_interrupted_repair_stops_a_relay_at_every_step() {
    for (number, (_, slot, change)) in gaps().into_iter().enumerate() {
        let before = scene().with(change);
        let plan = needed(&before);
        let flush_lsn = before.observed.server.flush_lsn;
        let mut steps = vec![before];
        let mut step = |change: &dyn Fn(&mut Scene)| {
            let next = steps.last().cloned().expect("the state before").with(|it| change(it));
            steps.push(next);
        };
        if let Some(mark) = &plan.mark {
            step(&|it| it.progress = Some(mark.clone()));
        }
        if !matches!(slot, SlotAction::Keep(_)) {
            step(&|it| it.observed.slot = None);
            // At the end of the log, wherever that is.
            let created = Lsn::new(flush_lsn.as_u64() + 10);
            step(&|it| {
                it.observed.slot = right().observed.slot;
                it.slot().confirmed = Some(created);
            });
        }
        // The log grows while the rows are published, or before anybody comes to look.
        step(&|it| it.observed.server.flush_lsn = Lsn::new(10_000));
        for (index, state) in steps.iter().enumerate() {
            let verdict = decide(state.progress.as_ref(), &state.observed, &state.rules, Lsn::ZERO);
            let stop = verdict.expect_err(&format!("case {number} streams after step {index}"));
            assert_eq!(stop.code.exit_code(), 10, "case {number}, step {index}: {stop}");
            needed(state);
        }
    }
}

#[test]
fn after_a_repair_the_relay_streams_from_the_new_slot() {
    for (number, (_, slot, change)) in gaps().into_iter().enumerate() {
        let scene = scene().with(change);
        let plan = needed(&scene);
        let position = match slot {
            SlotAction::Keep(position) => position,
            SlotAction::Create | SlotAction::Replace => Lsn::new(2_010),
        };
        let after = scene.with(|it| {
            it.observed.slot = right().observed.slot;
            it.slot().confirmed = Some(position);
            it.observed.server.flush_lsn = Lsn::new(2_020);
            it.progress = Some(plan.finished(position, NOW_MS));
        });
        let verdict = decide(after.progress.as_ref(), &after.observed, &after.rules, Lsn::ZERO);
        let entry = verdict.unwrap_or_else(|stop| panic!("case {number}: {stop}"));
        assert_eq!(entry.progress.end_lsn, position, "case {number}");
    }
}

#[test]
fn the_epoch_rises_where_positions_start_over() {
    let raised = [false, false, false, true, true, true, true, true];
    let recorded = scene().progress().epoch;
    for (number, ((_, _, change), raised)) in gaps().into_iter().zip(raised).enumerate() {
        let plan = needed(&scene().with(change));
        assert_eq!(plan.epoch(), recorded + u16::from(raised), "case {number}");
        if let Some(mark) = &plan.mark {
            assert_eq!(mark.epoch, plan.epoch(), "a second repair finds it raised");
        }
    }
    // On a third timeline it may have risen twice.
    assert_eq!(needed(&scene().with(|it| it.progress = None)).epoch(), 3);
}

#[test]
fn a_finished_repair_takes_over() {
    let plan = needed(&scene().with(|it| it.observed.slot = None));
    let progress = plan.finished(Lsn::new(2_016), NOW_MS);
    let before = scene().progress.expect("progress");
    let expected = Progress {
        acquisition: before.acquisition + 1,
        end_lsn: Lsn::new(2_016),
        last_event_lsn: Lsn::new(2_015),
        parked_lsn: Lsn::new(2_015),
        partial: None,
        last_commit: None,
        unrecorded_events_max: 0,
        written_at_ms: NOW_MS,
        ..before
    };
    assert_eq!(progress, expected);
}

#[test]
fn rows_are_published_from_a_margin_before_the_last_commit() {
    let missing = scene().with(|it| it.observed.slot = None);
    let at_ms = LAST_COMMIT_MS - TEN_MINUTES_MS;
    assert_eq!(needed(&missing).since, Some(Since { at_ms, basis: Basis::LastCommit }));
    let uncommitted = missing.clone().with(|it| it.progress().last_commit = None);
    let written = Since { at_ms: at_ms + 5_000, basis: Basis::WrittenAt };
    assert_eq!(needed(&uncommitted).since, Some(written));
    let never = uncommitted.with(|it| it.progress().written_at_ms = 0);
    assert_eq!(needed(&never).since, None);
    assert_eq!(needed(&scene().with(|it| it.progress = None)).since, None);
    let asked = Request { since_ms: Some(5), ..request() };
    let Ok(Repair::Needed(plan)) = decide_on(&missing, asked) else { panic!("no plan") };
    assert_eq!(plan.since, Some(Since { at_ms: 5, basis: Basis::Asked }));
}

/// The former primary may have gone on after the promotion: its last commit is then too late.
#[test]
fn the_first_phantom_may_be_older_than_the_last_commit() {
    let mut plan = needed(&scene().with(diverge));
    plan.heed_phantom(LAST_COMMIT_MS + 1);
    assert_eq!(plan.since.map(|since| since.basis), Some(Basis::LastCommit));
    plan.heed_phantom(LAST_COMMIT_MS - 7_000);
    let at_ms = LAST_COMMIT_MS - 7_000 - TEN_MINUTES_MS;
    assert_eq!(plan.since, Some(Since { at_ms, basis: Basis::FirstPhantom }));
    plan.since = Some(Since { at_ms: NOW_MS, basis: Basis::Asked });
    plan.heed_phantom(0);
    assert_eq!(plan.since, Some(Since { at_ms: NOW_MS, basis: Basis::Asked }));
}

#[test]
fn phantoms_lie_past_the_switch_point_in_the_old_epoch() {
    let plan = needed(&scene().with(diverge));
    let epoch = scene().progress().epoch;
    let phantoms = Phantoms { epoch, from: Lsn::new(950), to: Lsn::new(960) };
    assert_eq!(plan.phantoms, Some(phantoms));
    let sequence = |epoch, commit_lsn| Sequence {
        epoch,
        at: Identity { commit_lsn: Lsn::new(commit_lsn), ordinal: 0 },
    };
    for (epoch, commit_lsn, contained, before) in [
        (epoch, 949, false, true),
        (epoch, 950, true, false),
        (epoch, 5_000, true, false),
        (epoch - 1, 5_000, false, true),
        (epoch + 1, 950, false, false),
    ] {
        let sequence = sequence(epoch, commit_lsn);
        assert_eq!(phantoms.contain(sequence), contained, "{sequence}");
        assert_eq!(phantoms.follow(sequence), before, "{sequence}");
    }
    // Without the switch point nothing can be said.
    let unknown = scene().with(|it| it.observed.server.timeline = 4);
    assert_eq!(needed(&unknown).phantoms, None);
    assert_eq!(needed(&scene().with(|it| it.observed.slot = None)).phantoms, None);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let cases: [(Code, Change); 6] = [
        (Code::SlotInUse, |it| it.slot().active_pid = Some(9)),
        (Code::SlotUnusable, |it| it.slot().plugin = Some("wal2json".to_owned())),
        (Code::SlotUnusable, |it| it.slot().plugin = None),
        (Code::SlotUnusable, |it| it.slot().database = Some("other".to_owned())),
        (Code::SlotUnusable, |it| it.slot().two_phase = true),
        (Code::SlotUnusable, |it| it.slot().temporary = true),
    ];
    for (number, (code, change)) in cases.into_iter().enumerate() {
        let lost = scene().with(|it| it.slot().lost = Some("wal_removed".to_owned())).with(change);
        assert_eq!(refused(&lost).code, code, "case {number}");
    }
}

#[test]
fn what_a_repair_cannot_cure_stops_it() {
    let cases: [(Code, Change); 4] = [
        (Code::SlotMissing, |it| (it.observed.slot, it.progress) = (None, None)),
        (Code::Publication, |it| it.publication().inserts = false),
        (Code::SlotUnusable, |it| it.slot().two_phase = true),
        // A former primary.
        (Code::Diverged, |it| it.observed.server.timeline = 2),
    ];
    for (number, (code, change)) in cases.into_iter().enumerate() {
        assert_eq!(refused(&scene().with(change)).code, code, "case {number}");
    }
}

/// A clone of production must not take production's progress over.
#[test]
fn a_relay_at_work_on_the_other_system_is_not_disturbed() {
    let clone = scene().with(|it| {
        it.observed.server.system_id = SystemId(1);
        it.progress().written_at_ms = NOW_MS - 59_000;
    });
    let stop = refused(&clone);
    assert_eq!(stop.code, Code::OtherSystem);
    assert!(stop.detail.is_some_and(|detail| detail.contains("59 s ago")));
    needed(&clone.with(|it| it.progress().written_at_ms = NOW_MS - 61_000));
}

#[test]
fn a_parked_row_stands_between_what_was_streamed_and_what_will_be() {
    let plan = needed(&scene().with(|it| it.observed.slot = None));
    let place = plan.place(Lsn::new(0x2000), 3);
    assert_eq!(place.to_string(), format!("{:04X}-0000000000001FFF-00000003", plan.epoch()));
}
