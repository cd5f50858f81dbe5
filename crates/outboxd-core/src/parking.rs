//! Events that must not be sent, and what waits behind them.
//!
//! Such an event is *parked*: written to the dead-letter table, and every later event of its topic
//! and key behind it, so that the order of a key is kept while other keys flow. Each is a [`Parcel`]
//! with a token of the window, so the position passes none before its row is committed.
//!
//! A key is free again when none of its rows is unresolved. The relay is the only one that writes
//! and resolves rows, so it knows their number: what the table held when the session began, plus
//! what it has parked, minus what was resolved.

use std::collections::{BTreeSet, HashMap};

use crate::headers::Sequence;
use crate::lsn::Lsn;
use crate::mapping::Mapped;
use crate::record::{Identity, Token};
use crate::stop::RecordError;

/// What is done with an event that Kafka would refuse.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Policy {
    /// Stop, naming it.
    Halt,
    /// Park it, and what follows of its key.
    Park,
    /// Leave a row and go on, with its key too.
    Skip,
}

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub policy: Policy,
    /// Unresolved rows of all keys.
    pub max_parked: u64,
    pub max_parked_per_key: u64,
}

/// What goes to the dead-letter table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parcel {
    pub token: Token,
    /// Where it stands in the stream; with the name of the relay, the identity of its row.
    pub sequence: Sequence,
    pub event_id: Option<String>,
    pub topic: Option<String>,
    pub key: Option<Vec<u8>>,
    /// What chooses its partition, where that is not the key.
    pub partition_key: Option<Vec<u8>>,
    /// `None` also when it is not known: see [`Self::is_complete`].
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: Option<i64>,
    /// It can be published from its row alone.
    pub is_complete: bool,
    pub reason: Reason,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reason {
    /// It is the one that cannot be sent.
    Refused(RecordError),
    /// An earlier event of its key is parked.
    Behind,
    /// It cannot be sent and nothing waits for it.
    Skipped(RecordError),
}

/// A row of the dead-letter table at the beginning of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParkedRow {
    pub sequence: Sequence,
    pub topic: Option<String>,
    pub key: Option<Vec<u8>>,
    /// Later events of its key have to wait.
    pub is_unresolved: bool,
}

/// There are too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Full {
    #[error("{0} events are parked, as many as errors.max_parked allows")]
    Total(u64),
    #[error("{0} events of one key are parked, as many as errors.max_parked_per_key allows")]
    Key(u64),
}

#[derive(Debug)]
pub struct Parking {
    rules: Rules,
    /// There is somewhere to park.
    has_table: bool,
    keys: HashMap<Vec<u8>, Vec<Blocked>>,
    /// Unresolved rows, those without a key included.
    rows: u64,
    /// Events past the recorded position that have a row.
    settled: BTreeSet<Identity>,
    in_flight: BTreeSet<Token>,
    /// The newest commit LSN of which a row is known.
    newest: Lsn,
}

/// A topic in which a key has to wait. Without a topic: one whose topic could not be told.
#[derive(Debug)]
struct Blocked {
    topic: Option<String>,
    rows: u64,
    /// The first row that was in the way. An event before it has nothing to wait for.
    first: Sequence,
}

impl Parking {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            has_table: true,
            keys: HashMap::new(),
            rows: 0,
            settled: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            newest: Lsn::ZERO,
        }
    }

    /// Without a table there is nothing but to halt.
    pub fn policy(&self) -> Policy {
        if self.has_table { self.rules.policy } else { Policy::Halt }
    }

    /// Unresolved rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Keys that have to wait.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The newest commit LSN of which an event is known to be parked.
    pub fn newest(&self) -> Lsn {
        self.newest
    }

    /// What the table holds, if there is one, instead of what was known before.
    ///
    /// The epoch rises when the server is promoted. A row at or past the position then stands at the
    /// same place of the new timeline: had its event been left behind on the old one, so had the row.
    pub fn load(&mut self, from: Sequence, rows: Option<Vec<ParkedRow>>) {
        self.has_table = rows.is_some();
        self.keys.clear();
        self.rows = 0;
        self.settled.clear();
        for mut row in rows.unwrap_or_default() {
            if row.sequence.at >= from.at {
                row.sequence.epoch = from.epoch;
            }
            if row.sequence.epoch == from.epoch {
                self.newest = self.newest.max(row.sequence.at.commit_lsn);
                self.settled.insert(row.sequence.at);
            }
            if row.is_unresolved {
                self.count(row.sequence, row.topic.as_deref(), row.key.as_deref());
            }
        }
    }

    /// The event has a row already: the stream has nothing more to do with it.
    pub fn has_row(&self, at: Identity) -> bool {
        self.settled.contains(&at)
    }

    /// Whether an event at or past this position has a row from before the session: what lies
    /// before it in the stream may still have to be published.
    pub fn is_ahead_of(&self, end_lsn: Lsn) -> bool {
        self.settled.last().is_some_and(|at| at.commit_lsn >= end_lsn)
    }

    /// An earlier event of the same topic and key is parked. A later one may be too, when the stream
    /// goes back to a recorded position.
    pub fn blocks(&self, at: Sequence, topic: &str, key: Option<&[u8]>) -> bool {
        let Some(key) = key.filter(|_| !self.keys.is_empty()) else { return false };
        let covers = |blocked: &Blocked| {
            blocked.first < at && blocked.topic.as_deref().is_none_or(|it| it == topic)
        };
        self.keys.get(key).is_some_and(|topics| topics.iter().any(covers))
    }

    /// Whether one more would be too many.
    pub fn check_room(&self, topic: Option<&str>, key: Option<&[u8]>) -> Result<(), Full> {
        if self.rules.policy == Policy::Skip {
            return Ok(());
        }
        if self.rows >= self.rules.max_parked {
            return Err(Full::Total(self.rows));
        }
        let topics = key.and_then(|key| self.keys.get(key));
        let blocked = topics.and_then(|it| it.iter().find(|it| it.topic.as_deref() == topic));
        match blocked {
            Some(blocked) if blocked.rows >= self.rules.max_parked_per_key => {
                Err(Full::Key(blocked.rows))
            }
            _ => Ok(()),
        }
    }

    /// The parcel is on its way to the table.
    pub fn park(&mut self, parcel: &Parcel) {
        self.newest = self.newest.max(parcel.sequence.at.commit_lsn);
        self.in_flight.insert(parcel.token);
        if !matches!(parcel.reason, Reason::Skipped(_)) {
            self.count(parcel.sequence, parcel.topic.as_deref(), parcel.key.as_deref());
        }
    }

    /// Its row is committed. `false`: nobody waits for that any more.
    pub fn parked(&mut self, token: Token) -> bool {
        self.in_flight.remove(&token)
    }

    /// The session is gone, and with it the answers. What was on its way is read and parked again,
    /// unless its row turns out to be there.
    pub fn forget_session(&mut self) -> BTreeSet<Token> {
        std::mem::take(&mut self.in_flight)
    }

    /// A row was resolved.
    pub fn resolved(&mut self, topic: Option<&str>, key: Option<&[u8]>) {
        self.rows = self.rows.saturating_sub(1);
        let Some(key) = key else { return };
        let Some(topics) = self.keys.get_mut(key) else { return };
        if let Some(index) = topics.iter().position(|it| it.topic.as_deref() == topic) {
            topics[index].rows -= 1;
            if topics[index].rows == 0 {
                topics.swap_remove(index);
            }
        }
        if topics.is_empty() {
            self.keys.remove(key);
        }
    }

    /// Events without a key are alone: nothing waits for them.
    fn count(&mut self, at: Sequence, topic: Option<&str>, key: Option<&[u8]>) {
        self.rows += 1;
        let Some(key) = key else { return };
        let topics = self.keys.entry(key.to_vec()).or_default();
        match topics.iter_mut().find(|it| it.topic.as_deref() == topic) {
            Some(blocked) => {
                blocked.rows += 1;
                blocked.first = blocked.first.min(at);
            }
            None => topics.push(Blocked { topic: topic.map(str::to_owned), rows: 1, first: at }),
        }
    }
}

impl Parcel {
    /// An event that is a record, but may not be sent.
    pub fn of_record(
        token: Token,
        sequence: Sequence,
        mapped: &Mapped<'_>,
        reason: Reason,
    ) -> Self {
        let headers = mapped.headers.iter();
        Self {
            token,
            sequence,
            event_id: Some(mapped.event_id.to_owned()),
            topic: Some(mapped.topic.to_owned()),
            key: mapped.key.map(<[u8]>::to_vec),
            partition_key: mapped
                .partition_key
                .filter(|key| Some(*key) != mapped.key)
                .map(<[u8]>::to_vec),
            value: mapped.value.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            timestamp_ms: Some(mapped.timestamp_ms),
            is_complete: true,
            reason,
        }
    }

    /// An event that cannot be made a record: what of it could be read.
    pub fn of_row(token: Token, sequence: Sequence, error: &RecordError, reason: Reason) -> Self {
        Self {
            token,
            sequence,
            event_id: error.event_id.clone(),
            topic: error.topic.clone(),
            key: error.key.clone(),
            partition_key: None,
            value: None,
            headers: Vec::new(),
            timestamp_ms: None,
            is_complete: false,
            reason,
        }
    }
}
