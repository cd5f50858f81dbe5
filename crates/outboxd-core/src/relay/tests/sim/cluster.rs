//! Brokers: requests on their way, sequence numbers of each producer, and the progress topic.

use std::collections::{BTreeMap, VecDeque};

use super::chance::Chance;
use super::coordinator::{Coordinator, Fate};
use super::truth::EventId;
use crate::lsn::Lsn;
use crate::progress::Recorded;
use crate::record::Token;

/// A partition: index of the topic, and its own. The progress topic has an index of its own.
pub(super) type Lane = (usize, i32);
pub(super) const PROGRESS: Lane = (2, 0);

/// Key and value of a record of the progress topic.
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

#[derive(Clone)]
pub(super) enum Sent {
    Event { token: Token, event: EventId, is_large: bool },
    Progress(Entry),
}

#[derive(Clone)]
pub(super) struct Request {
    /// Producer id.
    pub(super) producer: u64,
    /// The number of its first record.
    pub(super) sequence: u32,
    pub(super) batch: Vec<Sent>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Offset of the first record.
    Written(i64),
    /// Not this time: leader away, too few replicas, or no answer at all.
    Transient,
    OutOfOrder,
    TooLarge,
    /// Another producer has taken its place.
    Fenced,
}

pub(super) struct Answer {
    pub(super) producer: u64,
    pub(super) lane: Lane,
    pub(super) sequence: u32,
    pub(super) outcome: Outcome,
}

#[derive(Default)]
pub(super) struct Cluster {
    /// In each partition first in, first out.
    pub(super) wire: BTreeMap<Lane, VecDeque<Request>>,
    pub(super) answers: BTreeMap<Lane, VecDeque<Answer>>,
    /// What was written to the topics of events, in order.
    pub(super) written: Vec<(Lane, EventId)>,
    /// By offset; what was compacted leaves a hole.
    pub(super) progress: Vec<Option<Entry>>,
    pub(super) is_away: bool,
    /// Topics refuse large records.
    pub(super) is_limited: bool,
    /// In exactly-once mode.
    pub(super) coordinator: Option<Coordinator>,
    /// Records of the progress topic from here on are committed, and no reader sees them yet: the
    /// coordinator answers before the partitions have its markers.
    unmarked_from: Option<usize>,
    known: BTreeMap<(u64, Lane), Known>,
    producers: u64,
}

/// What a partition remembers of a producer.
#[derive(Default)]
struct Known {
    next: u32,
    /// The last batches: sequence and offset.
    last: VecDeque<(u32, i64)>,
}

impl Cluster {
    pub(super) fn producer_id(&mut self) -> u64 {
        self.producers += 1;
        self.producers
    }

    /// The oldest request of a partition is dealt with. Gives what was written.
    pub(super) fn process(&mut self, lane: Lane, luck: Luck) -> Vec<Sent> {
        let Some(request) = self.wire.get_mut(&lane).and_then(VecDeque::pop_front) else {
            return Vec::new();
        };
        let Request { producer, sequence, batch, .. } = request;
        let (outcome, written) = match luck {
            Luck::Refuse => (Outcome::Transient, Vec::new()),
            Luck::Serve | Luck::LoseAnswer => self.append(producer, lane, sequence, batch),
        };
        let outcome = if luck == Luck::LoseAnswer { Outcome::Transient } else { outcome };
        let answer = Answer { producer, lane, sequence, outcome };
        self.answers.entry(lane).or_default().push_back(answer);
        written
    }

    fn append(
        &mut self,
        producer: u64,
        lane: Lane,
        sequence: u32,
        batch: Vec<Sent>,
    ) -> (Outcome, Vec<Sent>) {
        if self.coordinator.as_ref().is_some_and(|it| !it.is_owner(producer)) {
            return (Outcome::Fenced, Vec::new());
        }
        let is_large = |sent: &Sent| matches!(sent, Sent::Event { is_large: true, .. });
        if self.is_limited && batch.iter().any(is_large) {
            return (Outcome::TooLarge, Vec::new());
        }
        let offset = i64::try_from(self.progress.len()).unwrap();
        // From a producer that the partition does not know any sequence is taken.
        let fresh = || Known { next: sequence, last: VecDeque::new() };
        let known = self.known.entry((producer, lane)).or_insert_with(fresh);
        if let Some(&(_, offset)) = known.last.iter().find(|(it, _)| *it == sequence) {
            return (Outcome::Written(offset), Vec::new());
        }
        if sequence != known.next {
            return (Outcome::OutOfOrder, Vec::new());
        }
        known.next += u32::try_from(batch.len()).unwrap();
        known.last.push_back((sequence, offset));
        if known.last.len() > BATCHES_REMEMBERED {
            known.last.pop_front();
        }
        match &mut self.coordinator {
            Some(coordinator) => {
                // The next transaction waits for the markers of the one before.
                self.unmarked_from = None;
                coordinator.write(lane, batch);
                (Outcome::Written(offset), Vec::new())
            }
            None => {
                batch.iter().for_each(|sent| self.show(lane, sent));
                (Outcome::Written(offset), batch)
            }
        }
    }

    /// From here on readers see it.
    fn show(&mut self, lane: Lane, sent: &Sent) {
        match sent {
            Sent::Event { event, .. } => self.written.push((lane, *event)),
            Sent::Progress(entry) => self.progress.push(Some(entry.clone())),
        }
    }

    /// The oldest end of a transaction arrives. Gives what becomes visible.
    pub(super) fn end_transaction(&mut self, fate: Fate) -> Vec<(Lane, Sent)> {
        let Some(coordinator) = &mut self.coordinator else { return Vec::new() };
        let shown = coordinator.process(fate);
        if !shown.is_empty() {
            self.unmarked_from = Some(self.progress.len());
        }
        for (lane, sent) in &shown {
            self.show(*lane, sent);
        }
        shown
    }

    pub(super) fn busy_lanes(&self) -> Vec<Lane> {
        self.wire.iter().filter(|(_, it)| !it.is_empty()).map(|(lane, _)| *lane).collect()
    }

    pub(super) fn answered_lanes(&self) -> Vec<Lane> {
        self.answers.iter().filter(|(_, it)| !it.is_empty()).map(|(lane, _)| *lane).collect()
    }

    pub(super) fn high_watermark(&self) -> i64 {
        i64::try_from(self.progress.len()).unwrap()
    }

    /// The markers of the last transaction arrive.
    pub(super) fn mark(&mut self) {
        self.unmarked_from = None;
    }

    /// What a reader finds.
    pub(super) fn readable(&self) -> Recorded {
        let written = self.progress.len();
        self.recorded(self.unmarked_from.map_or(written, |end| end.min(written)))
    }

    fn recorded(&self, end: usize) -> Recorded {
        let entries = (0_i64..).zip(&self.progress[..end]);
        let entries = entries.filter_map(|(offset, entry)| {
            let (key, value) = entry.as_ref()?;
            Some((offset, &key[..], value.as_deref()))
        });
        Recorded::read(entries).expect("what relays wrote can be read")
    }

    /// What counts of it: that of the highest acquisition.
    pub(super) fn recorded_position(&self) -> Lsn {
        self.recorded(self.progress.len()).progress.map_or(Lsn::ZERO, |progress| progress.end_lsn)
    }

    /// Of each key only the newest record is left. The active segment is not looked at.
    pub(super) fn compact(&mut self) {
        let closed = self.progress.len().saturating_sub(ACTIVE_SEGMENT);
        let closed = &mut self.progress[..closed];
        let mut newest = BTreeMap::new();
        for (offset, entry) in closed.iter().enumerate() {
            if let Some((key, _)) = entry {
                newest.insert(key.clone(), offset);
            }
        }
        for (offset, slot) in closed.iter_mut().enumerate() {
            slot.take_if(|(key, _)| newest[key] != offset);
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Luck {
    Serve,
    Refuse,
    LoseAnswer,
}

impl Luck {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        match chance.below(12) {
            0 => Self::Refuse,
            1 => Self::LoseAnswer,
            _ => Self::Serve,
        }
    }
}

const BATCHES_REMEMBERED: usize = 5;
/// Records of the progress topic that are not compacted yet.
const ACTIVE_SEGMENT: usize = 16;
