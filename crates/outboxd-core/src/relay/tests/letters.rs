//! A dead-letter table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::headers::Sequence;
use crate::parking::{Parcel, ParkedRow, Reason};
use crate::record::Token;
use crate::relay::Replay;

#[derive(Default)]
pub(super) struct Letters {
    pub(super) in_flight: VecDeque<Parcel>,
    /// By position, as committed.
    pub(super) rows: BTreeMap<Sequence, Parcel>,
    resolved: BTreeSet<Sequence>,
}

impl Letters {
    /// Commits the oldest parcel. A row that is there already stays as it is.
    pub(super) fn commit(&mut self) -> Token {
        let parcel = self.in_flight.pop_front().expect("a parcel in flight");
        let token = parcel.token;
        self.rows.entry(parcel.sequence).or_insert(parcel);
        token
    }

    pub(super) fn rows_from(&self, from: Sequence) -> Vec<ParkedRow> {
        let rows = self.rows.values().map(|parcel| ParkedRow {
            sequence: parcel.sequence,
            topic: parcel.topic.clone(),
            key: parcel.key.clone(),
            is_unresolved: !matches!(parcel.reason, Reason::Skipped(_))
                && !self.resolved.contains(&parcel.sequence),
        });
        rows.filter(|row| row.is_unresolved || row.sequence.at >= from.at).collect()
    }

    /// Rows are numbered in the order of the stream.
    pub(super) fn replay(&self, id: i64) -> Replay {
        replay_of(id, self.row(id))
    }

    /// The row is published. Gives its topic and key.
    pub(super) fn resolve(&mut self, id: i64) -> (Option<String>, Option<Vec<u8>>) {
        let parcel = self.row(id).clone();
        self.resolved.insert(parcel.sequence);
        (parcel.topic, parcel.key)
    }

    fn row(&self, id: i64) -> &Parcel {
        let index = usize::try_from(id).expect("a row");
        self.rows.values().nth(index).expect("a row")
    }

    pub(super) fn describe(parcel: &Parcel) -> String {
        let why = match &parcel.reason {
            Reason::Refused(error) => error.kind.as_str(),
            Reason::Behind => "behind",
            Reason::Skipped(_) => "skipped",
        };
        format!("{} {why}", text(parcel))
    }
}

/// A complete row, to be published.
pub(super) fn replay_of(id: i64, parcel: &Parcel) -> Replay {
    let parcel = parcel.clone();
    Replay {
        id,
        event_id: parcel.event_id.expect("an id"),
        topic: parcel.topic.expect("a topic"),
        partition_key: parcel.partition_key,
        key: parcel.key,
        value: parcel.value,
        headers: parcel.headers,
        timestamp_ms: parcel.timestamp_ms.expect("a timestamp"),
    }
}

fn text(parcel: &Parcel) -> String {
    let value = parcel.value.clone().unwrap_or_default();
    String::from_utf8(value).expect("the test's own text")
}
