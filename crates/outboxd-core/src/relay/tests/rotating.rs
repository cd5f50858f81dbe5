//! The schedule on which the outbox is asked to rotate.

use std::time::Duration;

use super::driver::Driver;
use crate::relay::{Note, RotationFailure, Settings};

const EVERY_MS: u64 = 60_000;

fn rotating(settings: &mut Settings) {
    settings.rotate_every = Some(Duration::from_millis(EVERY_MS));
}

fn failure(kind: &str) -> Result<(), RotationFailure> {
    Err(RotationFailure { kind: kind.to_owned(), error: "refused".to_owned(), hint: None })
}

impl Driver {
    fn rotations(&mut self) -> usize {
        self.take().iter().filter(|happened| *happened == "rotate").count()
    }

    /// Whether it was told.
    fn rotation_ends(&mut self, outcome: Result<(), RotationFailure>) -> bool {
        let before = self.notes.len();
        self.relay.handle_rotated(self.now(), outcome);
        self.settle();
        self.notes[before..].iter().any(|note| matches!(note, Note::RotationFailed(_)))
    }
}

#[test]
fn it_is_asked_for_once_in_each_interval() {
    let mut driver = Driver::warm_with(rotating);
    driver.step(EVERY_MS / 2);
    assert_eq!(driver.rotations(), 0);
    driver.step(EVERY_MS / 2);
    assert_eq!(driver.rotations(), 1);
    driver.rotation_ends(Ok(()));
    for _ in 0..3 {
        driver.step(EVERY_MS);
        assert_eq!(driver.rotations(), 1);
        driver.rotation_ends(Ok(()));
    }
}

#[test]
fn it_is_off_unless_wanted() {
    let mut driver = Driver::warm();
    driver.step(10 * EVERY_MS);
    assert_eq!(driver.rotations(), 0);
}

#[test]
fn it_is_not_asked_for_again_before_the_answer() {
    let mut driver = Driver::warm_with(rotating);
    driver.step(3 * EVERY_MS);
    assert_eq!(driver.rotations(), 1);
    driver.rotation_ends(Ok(()));
    driver.step(1);
    assert_eq!(driver.rotations(), 1, "what was missed is made up for once");
}

/// The session took the question with it.
#[test]
fn a_lost_session_does_not_end_the_schedule() {
    let mut driver = Driver::warm_with(rotating);
    driver.step(EVERY_MS);
    assert_eq!(driver.rotations(), 1);
    driver.cut();
    driver.reopen();
    driver.step(EVERY_MS);
    assert_eq!(driver.rotations(), 1);
}

#[test]
fn only_the_one_that_streams_asks() {
    let mut driver = Driver::with(rotating);
    driver.start();
    driver.step(5 * EVERY_MS);
    assert_eq!(driver.rotations(), 0);
}

#[test]
fn a_failure_is_told_once_per_kind_until_it_goes_well() {
    let mut driver = Driver::warm_with(rotating);
    let mut told = Vec::new();
    for outcome in [failure("a"), failure("a"), failure("b"), failure("a"), Ok(()), failure("a")] {
        driver.step(EVERY_MS);
        assert_eq!(driver.rotations(), 1);
        told.push(driver.rotation_ends(outcome));
    }
    assert_eq!(told, [true, false, true, false, false, true]);
    assert!(driver.relay.is_streaming());
}
