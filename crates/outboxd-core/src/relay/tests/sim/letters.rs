//! The dead-letter table: inserts that commit late, answers that get lost, and the acquisition that
//! every insert has to prove.

use std::collections::{BTreeMap, VecDeque};

use super::truth::{EventId, event_of};
use crate::headers::Sequence;
use crate::parking::{Parcel, ParkedRow, Reason};
use crate::record::Token;
use crate::relay::Replay;
use crate::relay::tests::letters::replay_of;

#[derive(Default)]
pub(super) struct Letters {
    pub(super) rows: BTreeMap<Sequence, Row>,
    /// The row of each event.
    pub(super) of_event: BTreeMap<EventId, Sequence>,
    /// Statements that were sent, of all sessions.
    pub(super) pending: VecDeque<Statement>,
    /// Answers on their way: none of the insert, when it was fenced off.
    pub(super) answers: VecDeque<(u32, Option<Token>)>,
    pub(super) is_away: bool,
    acquisition: u64,
    dead_through: u32,
}

pub(super) struct Statement {
    session: u32,
    acquisition: u64,
    parcel: Parcel,
}

pub(super) struct Row {
    pub(super) event: EventId,
    parcel: Parcel,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// In the way of its key.
    Dead,
    /// The operator wants it published.
    Retrying,
    /// The operator wants it out of the way.
    Discarding,
    Published,
    Discarded,
    Skipped,
}

impl State {
    pub(super) fn is_unresolved(self) -> bool {
        matches!(self, Self::Dead | Self::Retrying | Self::Discarding)
    }
}

impl Letters {
    pub(super) fn send(&mut self, session: u32, acquisition: u64, parcel: Parcel) {
        if session > self.dead_through {
            self.pending.push_back(Statement { session, acquisition, parcel });
        }
    }

    /// The database went down under these sessions: what they had not committed never is.
    pub(super) fn crash(&mut self, through: u32) {
        self.dead_through = through;
        self.pending.clear();
    }

    /// The oldest statement is executed. Gives the event whose row is new.
    pub(super) fn commit(&mut self) -> Option<(EventId, Reason)> {
        let Statement { session, acquisition, parcel } = self.pending.pop_front()?;
        if acquisition != self.acquisition {
            self.answers.push_back((session, None));
            return None;
        }
        self.answers.push_back((session, Some(parcel.token)));
        let event = event_of(parcel.value.as_deref());
        if let Some(row) = self.rows.get(&parcel.sequence) {
            assert_eq!(row.event, event, "one position, two events");
            return None;
        }
        let reason = parcel.reason.clone();
        let state = match reason {
            Reason::Skipped(_) => State::Skipped,
            Reason::Refused(_) | Reason::Behind => State::Dead,
        };
        let former = self.of_event.insert(event, parcel.sequence);
        assert!(former.is_none(), "{event} has two rows: {former:?} and {}", parcel.sequence);
        self.rows.insert(parcel.sequence, Row { event, parcel, state });
        Some((event, reason))
    }

    /// From here on only statements with this acquisition count. `None`: ours does not any more.
    pub(super) fn take_over(&mut self, acquisition: u64, from: Sequence) -> Option<Vec<ParkedRow>> {
        if acquisition < self.acquisition {
            return None;
        }
        self.acquisition = acquisition;
        let rows = self.rows.iter().map(|(&sequence, row)| ParkedRow {
            sequence,
            topic: row.parcel.topic.clone(),
            key: row.parcel.key.clone(),
            is_unresolved: row.state.is_unresolved(),
        });
        Some(rows.filter(|row| row.is_unresolved || row.sequence.at >= from.at).collect())
    }

    pub(super) fn is_owner(&self, acquisition: u64) -> bool {
        self.acquisition == acquisition
    }

    pub(super) fn state(&self, event: EventId) -> Option<State> {
        self.of_event.get(&event).map(|sequence| self.rows[sequence].state)
    }

    /// The first row that the operator wants dealt with and that no row of its key is in the way of.
    pub(super) fn wanted(&self) -> Option<(EventId, State)> {
        let mut blocked = Vec::new();
        for row in self.rows.values().filter(|row| row.state.is_unresolved()) {
            let lane = (&row.parcel.topic, &row.parcel.key);
            let waits = row.parcel.key.is_some() && blocked.contains(&lane);
            if row.state != State::Dead && !waits {
                return Some((row.event, row.state));
            }
            blocked.push(lane);
        }
        None
    }

    /// `false`: somebody was faster.
    pub(super) fn resolve(&mut self, event: EventId, state: State) -> bool {
        let row = self.row_mut(event);
        let is_first = row.state.is_unresolved();
        if is_first {
            row.state = state;
        }
        is_first
    }

    pub(super) fn row_mut(&mut self, event: EventId) -> &mut Row {
        let sequence = self.of_event[&event];
        self.rows.get_mut(&sequence).expect("a row of the event")
    }

    pub(super) fn place(&self, event: EventId) -> (Option<&str>, Option<&[u8]>) {
        let parcel = &self.rows[&self.of_event[&event]].parcel;
        (parcel.topic.as_deref(), parcel.key.as_deref())
    }

    pub(super) fn replay(&self, event: EventId) -> Replay {
        let parcel = &self.rows[&self.of_event[&event]].parcel;
        replay_of(i64::try_from(event).unwrap(), parcel)
    }
}
