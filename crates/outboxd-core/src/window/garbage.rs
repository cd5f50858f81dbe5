//! Frames come from a network: in whatever order they come, the window answers or refuses.

use proptest::prelude::*;

use super::{Change, Durable, Limits, Partial, Window};
use crate::lsn::Lsn;
use crate::pgoutput::{Begin, Commit, Xid};
use crate::record::Token;
use crate::time::PgTimestamp;

#[derive(Clone, Debug)]
enum Input {
    Begin {
        at: u64,
        xid: u32,
    },
    Change {
        event: bool,
    },
    Commit {
        at: u64,
        end: u64,
    },
    /// The commit of the open transaction.
    OwnCommit {
        length: u64,
    },
    Keepalive(u64),
    Ack(usize),
    LoseAll,
    Restart,
}

/// The caller's part: it keeps its promises, whatever the server does.
struct Caller {
    window: Window,
    in_flight: Vec<Token>,
    restarts_after_errors: bool,
}

impl Caller {
    fn apply(&mut self, input: &Input) {
        let before = self.window.end_lsn();
        if self.answer(input).is_none() && self.restarts_after_errors {
            self.window.restart();
        }
        assert!(self.window.end_lsn() >= before, "positions rise");
        assert_eq!(self.window.unacked(), self.in_flight.len());
        assert!(self.window.durable().partial.is_none_or(|it| it.changes > 0));
        self.window.last_handed_out();
        self.window.oldest_commit_time();
    }

    /// `None` when the frame was refused.
    fn answer(&mut self, input: &Input) -> Option<()> {
        match *input {
            Input::Begin { at, xid } => {
                let (final_lsn, commit_time) = (Lsn::new(at), PgTimestamp::from_micros(0));
                self.window.begin(Begin { final_lsn, commit_time, xid: Xid(xid) }).ok()
            }
            Input::Change { event } => self.change(event),
            Input::Commit { at, end } => self.commit(Lsn::new(at), Lsn::new(end)),
            Input::OwnCommit { length } => {
                let at = self.window.open_transaction()?.final_lsn;
                self.commit(at, Lsn::new(at.as_u64().saturating_add(length)))
            }
            Input::Keepalive(wal_end) => {
                self.window.advance_idle(Lsn::new(wal_end));
                Some(())
            }
            Input::Ack(which) => {
                if !self.in_flight.is_empty() {
                    let token = self.in_flight.swap_remove(which % self.in_flight.len());
                    self.window.ack(token);
                }
                Some(())
            }
            Input::LoseAll => {
                for token in self.in_flight.drain(..) {
                    self.window.lose(token);
                }
                Some(())
            }
            Input::Restart => {
                self.window.restart();
                Some(())
            }
        }
    }

    fn change(&mut self, event: bool) -> Option<()> {
        match self.window.change().ok()? {
            Change::New(_) if event => self.in_flight.push(self.window.hand_out(1, 0).ok()?),
            Change::New(_) | Change::Skip => self.window.pass().ok()?,
            Change::Resend(token, _) => {
                self.window.hand_out_again(token, 0).ok()?;
                self.in_flight.push(token);
            }
        }
        Some(())
    }

    fn commit(&mut self, commit_lsn: Lsn, end_lsn: Lsn) -> Option<()> {
        let commit_time = PgTimestamp::from_micros(0);
        self.window.commit(Commit { commit_lsn, end_lsn, commit_time }).ok()
    }
}

/// Mostly few positions, so that they meet each other; sometimes any.
fn any_lsn() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..12_u64, 1 => any::<u64>()]
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (any_lsn(), 0..3_u32).prop_map(|(at, xid)| Input::Begin { at, xid }),
        10 => any::<bool>().prop_map(|event| Input::Change { event }),
        2 => (any_lsn(), any_lsn()).prop_map(|(at, end)| Input::Commit { at, end }),
        8 => (0..4_u64).prop_map(|length| Input::OwnCommit { length }),
        2 => any_lsn().prop_map(Input::Keepalive),
        5 => any::<usize>().prop_map(Input::Ack),
        1 => Just(Input::LoseAll),
        2 => Just(Input::Restart),
    ]
}

fn any_start() -> impl Strategy<Value = Durable> {
    let partial = (any_lsn(), 1..4_u32)
        .prop_map(|(at, changes)| Partial { commit_lsn: Lsn::new(at), changes });
    (any_lsn(), prop::option::of(partial)).prop_map(|(end, partial)| Durable {
        end_lsn: Lsn::new(end),
        partial,
        ..Durable::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_order_of_frames_panics(
        start in any_start(),
        restarts_after_errors: bool,
        inputs in prop::collection::vec(any_input(), 0..100),
    ) {
        let window = Window::new(Limits { events: 4, bytes: 4, overhead: 0 }, start);
        let mut caller = Caller { window, in_flight: Vec::new(), restarts_after_errors };
        for input in &inputs {
            caller.apply(input);
        }
    }
}
