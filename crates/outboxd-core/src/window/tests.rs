//! What the window refuses, and the corners that the random runs reach seldom.

use super::{Change, Divergence, Durable, LastCommit, Limits, OutOfPlace, Partial, Window};
use super::{WindowError, model};
use crate::lsn::Lsn;
use crate::pgoutput::{Begin, Commit, Xid};
use crate::record::{Identity, Token};
use crate::time::PgTimestamp;

#[test]
fn a_transaction_across_the_position_is_another_history() {
    let mut window = Window::new(LIMITS, recorded());
    window.begin(begin(90, 8)).expect("before the position");
    let error = window.commit(commit(90, 101)).expect_err("it ends behind the position");
    let (at, found, end, position) = (Lsn::new(90), Xid(8), Lsn::new(101), Lsn::new(100));
    assert_eq!(divergence(error), Divergence::Straddles { at, found, end, position });
}

#[test]
fn a_transaction_that_ends_at_the_position_is_skipped() {
    let mut window = Window::new(LIMITS, recorded());
    window.begin(begin(90, 7)).expect("before the position");
    assert_eq!(window.change(), Ok(Change::Skip));
    window.pass().expect("one change");
    window.commit(commit(90, 100)).expect("it ends at the position");
    window.begin(begin(100, 8)).expect("the commit record stands right behind");
    let identity = Identity { commit_lsn: Lsn::new(100), ordinal: 0 };
    assert_eq!(window.change(), Ok(Change::New(identity)));
}

#[test]
fn the_last_transaction_before_the_position_is_the_recorded_one() {
    for (at, xid) in [(90, 8), (89, 7)] {
        let mut window = Window::new(LIMITS, recorded());
        transaction(&mut window, at, 100, xid, 0);
        let error = window.begin(begin(100, 9)).expect_err("the former was another one");
        let (found, recorded) = (begin(at, xid).into(), begin(90, 7).into());
        let position = Lsn::new(100);
        let expected = Divergence::OtherLastCommit { position, found, recorded };
        assert_eq!(divergence(error), expected);
    }
}

/// Restored from an older copy, with the same application writing the same transactions: place and
/// number come again, the time does not.
#[test]
fn a_transaction_of_another_time_is_another_history() {
    let later = |begin: Begin| Begin { commit_time: PgTimestamp::from_micros(1), ..begin };
    let mut window = Window::new(LIMITS, recorded());
    window.begin(later(begin(90, 7))).expect("before the position");
    window.commit(commit(90, 100)).expect("it ends at the position");
    let error = window.begin(begin(100, 8)).expect_err("the former was another one");
    let (found, recorded_last) = (later(begin(90, 7)).into(), begin(90, 7).into());
    let position = Lsn::new(100);
    let expected = Divergence::OtherLastCommit { position, found, recorded: recorded_last };
    assert_eq!(divergence(error), expected);

    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 1);
    window.restart();
    let error = window.begin(later(begin(100, 8))).expect_err("it was committed earlier");
    let (expected, found) = (begin(100, 8).into(), later(begin(100, 8)).into());
    assert_eq!(divergence(error), Divergence::OtherTransaction { expected, found });
}

#[test]
fn a_server_that_starts_behind_the_position_repeats_nothing_to_compare() {
    let mut window = Window::new(LIMITS, recorded());
    window.begin(begin(120, 9)).expect("nothing was skipped");
}

/// The first session was cut in the middle of what it repeated; meanwhile the slot moved on.
#[test]
fn what_a_former_session_skipped_is_not_compared() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 50, 60, 5, 0);
    window.restart();
    window.begin(begin(120, 9)).expect("nothing was skipped in this session");
}

/// The database was restored from a copy of itself while the relay lived.
#[test]
fn every_session_compares_the_last_transaction() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 0);
    window.restart();
    transaction(&mut window, 95, 105, 21, 0);
    let error = window.begin(begin(120, 22)).expect_err("8 at 100 is not there any more");
    let (position, found) = (Lsn::new(110), begin(95, 21).into());
    let recorded = begin(100, 8).into();
    let expected = Divergence::OtherLastCommit { position, found, recorded };
    assert_eq!(divergence(error), expected);
}

#[test]
fn another_transaction_at_the_same_place_is_another_history() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 1);
    window.restart();
    let error = window.begin(begin(100, 9)).expect_err("it was 8");
    let (expected, found) = (begin(100, 8).into(), begin(100, 9).into());
    assert_eq!(divergence(error), Divergence::OtherTransaction { expected, found });
}

#[test]
fn what_is_in_flight_has_to_come_again() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 1);
    transaction(&mut window, 120, 130, 9, 1);
    for (at, missing) in [(120, 100), (110, 100), (130, 100), (100, 0)] {
        window.restart();
        let outcome = window.begin(begin(at, if at == 120 { 9 } else { 8 }));
        match missing {
            0 => outcome.expect("the first in flight"),
            missing => assert_eq!(
                divergence(outcome.expect_err("100 is left out")),
                Divergence::NotRepeated { missing: Lsn::new(missing), found: Lsn::new(at) }
            ),
        }
    }
}

#[test]
fn a_transaction_that_was_not_there_before_is_another_history() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 1);
    transaction(&mut window, 120, 130, 9, 1);
    window.restart();
    transaction(&mut window, 100, 110, 8, 1);
    let error = window.begin(begin(112, 10)).expect_err("nothing stood between the two");
    let (missing, found) = (Lsn::new(120), Lsn::new(112));
    assert_eq!(divergence(error), Divergence::NotRepeated { missing, found });
}

#[test]
fn a_half_recorded_transaction_comes_again_first() {
    let partial = Some(Partial { commit_lsn: Lsn::new(110), changes: 2 });
    let mut window = Window::new(LIMITS, Durable { partial, ..recorded() });
    let error = window.begin(begin(120, 9)).expect_err("110 is left out");
    let (missing, found) = (Lsn::new(110), Lsn::new(120));
    assert_eq!(divergence(error), Divergence::NotRepeated { missing, found });
    window.restart();
    window.begin(begin(110, 8)).expect("its xid is not recorded");
    for expected in [Change::Skip, Change::Skip, new(110, 2)] {
        assert_eq!(window.change(), Ok(expected));
        window.pass().expect("few changes");
    }
    window.restart();
    let error = window.begin(begin(110, 9)).expect_err("now its xid is known");
    let (expected, found) = (begin(110, 8).into(), begin(110, 9).into());
    assert_eq!(divergence(error), Divergence::OtherTransaction { expected, found });
}

#[test]
fn a_repeated_transaction_has_as_many_changes_as_before() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 2);
    window.restart();
    window.begin(begin(100, 8)).expect("known");
    for _ in 0..2 {
        assert_eq!(window.change(), Ok(Change::Skip));
        window.pass().expect("known");
    }
    assert_eq!(window.change(), Err(OutOfPlace::OtherLength), "a third one");
    window.restart();
    window.begin(begin(100, 8)).expect("known");
    window.pass().expect("known");
    assert_eq!(out_of_place(window.commit(commit(100, 110))), OutOfPlace::OtherLength);
}

#[test]
fn a_half_recorded_transaction_has_at_least_the_recorded_changes() {
    let partial = Some(Partial { commit_lsn: Lsn::new(110), changes: 2 });
    let mut window = Window::new(LIMITS, Durable { partial, ..recorded() });
    window.begin(begin(110, 8)).expect("known");
    window.pass().expect("known");
    assert_eq!(out_of_place(window.commit(commit(110, 120))), OutOfPlace::OtherLength);
}

#[test]
fn frames_have_their_place() {
    let mut window = Window::new(LIMITS, Durable::default());
    assert_eq!(window.change(), Err(OutOfPlace::Outside));
    assert_eq!(window.hand_out(1, 0), Err(OutOfPlace::Outside));
    assert_eq!(out_of_place(window.commit(commit(10, 20))), OutOfPlace::Outside);
    window.begin(begin(10, 1)).expect("the first");
    assert_eq!(out_of_place(window.begin(begin(20, 2))), OutOfPlace::BeginInside);
    assert_eq!(out_of_place(window.commit(commit(11, 20))), OutOfPlace::ForeignCommit);
    assert_eq!(out_of_place(window.commit(commit(10, 10))), OutOfPlace::EndsTooEarly);
    assert_eq!(window.open_transaction(), Some(begin(10, 1)), "a refused frame changes nothing");
    window.commit(commit(10, 20)).expect("its own");
    assert_eq!(window.end_lsn(), Lsn::new(20));
}

#[test]
fn a_skipped_transaction_ends_with_its_own_commit() {
    let mut window = Window::new(LIMITS, recorded());
    window.begin(begin(90, 7)).expect("before the position");
    assert_eq!(out_of_place(window.commit(commit(91, 100))), OutOfPlace::ForeignCommit);
}

#[test]
fn a_keepalive_inside_a_transaction_moves_nothing() {
    let mut window = Window::new(LIMITS, recorded());
    window.begin(begin(100, 8)).expect("new");
    window.advance_idle(Lsn::new(500));
    assert_eq!(window.end_lsn(), Lsn::new(100));
    window.restart();
    window.advance_idle(Lsn::new(500));
    assert_eq!(window.end_lsn(), Lsn::new(100), "it was cut, and comes again");
    transaction(&mut window, 100, 110, 8, 0);
    window.advance_idle(Lsn::new(500));
    assert_eq!(window.end_lsn(), Lsn::new(500));
    window.advance_idle(Lsn::new(400));
    assert_eq!(window.end_lsn(), Lsn::new(500), "positions rise");
    assert_eq!(window.durable().last_commit.map(|last| last.xid), Some(8));
}

#[test]
fn a_keepalive_counts_once_what_is_in_flight_is_durable() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 1);
    window.advance_idle(Lsn::new(500));
    assert_eq!(window.end_lsn(), Lsn::new(100));
    window.ack(Token(0));
    assert_eq!(window.end_lsn(), Lsn::new(500));
}

#[test]
fn a_keepalive_of_a_former_session_does_not_count() {
    let mut window = Window::new(LIMITS, recorded());
    transaction(&mut window, 100, 110, 8, 1);
    window.advance_idle(Lsn::new(500));
    window.restart();
    window.ack(Token(0));
    assert_eq!(window.end_lsn(), Lsn::new(110));
}

#[test]
fn bookkeeping_counts_as_bytes() {
    let limits = Limits { events: 100, bytes: 100, overhead: 50 };
    let mut window = Window::new(limits, Durable::default());
    window.begin(begin(10, 1)).unwrap();
    window.hand_out(1, 0).unwrap();
    assert!(window.has_room());
    let second = window.hand_out(1, 0).unwrap();
    assert!(!window.has_room(), "2 bytes of records and 100 of bookkeeping");
    window.ack(second);
    assert!(window.has_room());
}

#[test]
fn reading_pauses_at_the_limits() {
    let mut window = Window::new(Limits { events: 2, bytes: 100, overhead: 0 }, Durable::default());
    window.begin(begin(10, 1)).expect("new");
    let first = window.hand_out(1000, 0).expect("a record above the limit passes alone");
    assert!(!window.has_room());
    window.ack(first);
    assert!(window.has_room());
    let second = window.hand_out(1, 0).expect("room");
    let third = window.hand_out(1, 0).expect("room");
    assert!(!window.has_room());
    window.ack(third);
    assert!(!window.has_room(), "what waits behind an unacked record is still remembered");
    window.ack(second);
    assert!(window.has_room());
}

/// Else nothing would be read any more, and what was lost could never be handed out again.
#[test]
fn a_window_full_of_lost_records_has_room_for_them() {
    let mut window = Window::new(Limits { events: 2, bytes: 100, overhead: 0 }, Durable::default());
    transaction(&mut window, 10, 20, 1, 2);
    assert!(!window.has_room());
    window.lose(Token(0));
    window.lose(Token(1));
    assert!(window.has_room());
    window.restart();
    window.begin(begin(10, 1)).expect("known");
    for ordinal in 0..2 {
        assert!(window.has_room());
        let token = Token(u64::from(ordinal));
        let identity = Identity { commit_lsn: Lsn::new(10), ordinal };
        assert_eq!(window.change(), Ok(Change::Resend(token, identity)));
        window.hand_out_again(token, 0).expect("inside");
    }
    assert!(!window.has_room());
}

#[test]
#[should_panic(expected = "one report for each record")]
fn a_second_report_for_a_record_is_a_bug() {
    let mut window = Window::new(LIMITS, Durable::default());
    transaction(&mut window, 10, 20, 1, 2);
    window.ack(Token(1));
    window.ack(Token(1));
}

#[test]
fn the_model_lays_out_commit_records_without_a_gap() {
    let history = model::history(vec![(0, 2, vec![]), (0, 1, vec![]), (3, 1, vec![])]);
    let places =
        history.iter().map(|it| (it.commit.commit_lsn.as_u64(), it.commit.end_lsn.as_u64()));
    assert_eq!(places.collect::<Vec<_>>(), [(10, 12), (12, 13), (16, 17)]);
}

/// The position 100, behind transaction 7 at 90.
fn recorded() -> Durable {
    Durable {
        end_lsn: Lsn::new(100),
        partial: None,
        last_commit: Some(LastCommit { commit_lsn: Lsn::new(90), xid: 7, time_us: 0 }),
        last_event_lsn: Lsn::new(90),
    }
}

fn begin(at: u64, xid: u32) -> Begin {
    Begin { final_lsn: Lsn::new(at), commit_time: PgTimestamp::from_micros(0), xid: Xid(xid) }
}

fn commit(at: u64, end: u64) -> Commit {
    let commit_time = PgTimestamp::from_micros(0);
    Commit { commit_lsn: Lsn::new(at), end_lsn: Lsn::new(end), commit_time }
}

fn new(at: u64, ordinal: u32) -> Change {
    Change::New(Identity { commit_lsn: Lsn::new(at), ordinal })
}

/// Reads a whole transaction; all its changes are events.
fn transaction(window: &mut Window, at: u64, end: u64, xid: u32, changes: u32) {
    window.begin(begin(at, xid)).expect("it is in its place");
    for _ in 0..changes {
        match window.change().expect("inside") {
            Change::New(_) => drop(window.hand_out(1, 0).expect("inside")),
            Change::Skip => window.pass().expect("inside"),
            Change::Resend(token, _) => window.hand_out_again(token, 0).expect("inside"),
        }
    }
    window.commit(commit(at, end)).expect("its own");
}

fn divergence(error: WindowError) -> Divergence {
    match error {
        WindowError::Divergence(divergence) => divergence,
        WindowError::OutOfPlace(other) => panic!("{other}"),
    }
}

fn out_of_place(outcome: Result<(), WindowError>) -> OutOfPlace {
    match outcome.expect_err("refused") {
        WindowError::OutOfPlace(error) => error,
        WindowError::Divergence(other) => panic!("{other}"),
    }
}

const LIMITS: Limits = Limits { events: 100, bytes: 1_000, overhead: 0 };
