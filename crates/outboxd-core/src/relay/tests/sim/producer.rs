//! An idempotent producer that leaves no gap: batches in order, a few of a partition on their way at
//! once, retries by itself, and an end at the first record that it has to give up.

use std::collections::{BTreeMap, VecDeque};

use super::chance::Chance;
use super::cluster::{Answer, Cluster, Lane, Outcome, Request, Sent};

pub(super) struct Producer {
    pub(super) id: u64,
    pub(super) is_dead: bool,
    lines: BTreeMap<Lane, Line>,
}

#[derive(Default)]
struct Line {
    queue: VecDeque<Sent>,
    flight: VecDeque<Batch>,
    next: u32,
}

struct Batch {
    sequence: u32,
    records: Vec<Sent>,
    /// Its request came back and is to be sent again.
    is_back: bool,
}

/// What the producer tells of a batch.
pub(super) enum Report {
    Acked(Vec<Sent>, i64),
    /// The whole batch was refused for good, and the producer is dead.
    Refused(Vec<Sent>),
    /// The producer is dead.
    Fatal,
    Nothing,
}

impl Producer {
    pub(super) fn new(id: u64) -> Self {
        Self { id, is_dead: false, lines: BTreeMap::new() }
    }

    /// There is none yet.
    pub(super) fn none() -> Self {
        Self { id: 0, is_dead: true, lines: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, lane: Lane, sent: Sent) {
        self.lines.entry(lane).or_default().queue.push_back(sent);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.values().all(|line| line.queue.is_empty() && line.flight.is_empty())
    }

    /// Records of events whose report is still to come.
    pub(super) fn unreported(&self) -> usize {
        let events = self.lines.iter().filter(|(lane, _)| lane.0 < 2);
        let count = |line: &Line| {
            line.queue.len() + line.flight.iter().map(|it| it.records.len()).sum::<usize>()
        };
        events.map(|(_, line)| count(line)).sum()
    }

    pub(super) fn lanes(&self) -> Vec<Lane> {
        let busy = |line: &Line| !line.queue.is_empty() || !line.flight.is_empty();
        self.lines.iter().filter(|(_, line)| busy(line)).map(|(lane, _)| *lane).collect()
    }

    /// One request of this partition, if one may go.
    pub(super) fn send(&mut self, lane: Lane, cluster: &mut Cluster, chance: &mut Chance) {
        let Some(line) = self.lines.get_mut(&lane).filter(|_| !self.is_dead) else { return };
        let request = |batch: &Batch| Request {
            producer: self.id,
            sequence: batch.sequence,
            batch: batch.records.clone(),
        };
        let wire = cluster.wire.entry(lane).or_default();
        if line.flight.iter().any(|batch| batch.is_back) {
            // What is behind it comes back first, then all goes again, in order.
            if line.flight.iter().all(|batch| batch.is_back) {
                for batch in &mut line.flight {
                    batch.is_back = false;
                    wire.push_back(request(batch));
                }
            }
        } else if line.flight.len() < IN_FLIGHT_MAX && !line.queue.is_empty() {
            let count = line.queue.len().min(1 + chance.index(3));
            let records: Vec<_> = line.queue.drain(..count).collect();
            let batch = Batch { sequence: line.next, records, is_back: false };
            line.next += u32::try_from(count).unwrap();
            wire.push_back(request(&batch));
            line.flight.push_back(batch);
        }
    }

    pub(super) fn handle(&mut self, answer: &Answer) -> Report {
        let Some(line) = self.lines.get_mut(&answer.lane) else { return Report::Nothing };
        let found = line.flight.iter().position(|it| it.sequence == answer.sequence);
        let Some(index) = found else { return Report::Nothing };
        match answer.outcome {
            Outcome::Written(offset) => {
                let batch = line.flight.remove(index).expect("it is there");
                Report::Acked(batch.records, offset)
            }
            Outcome::TooLarge => {
                self.is_dead = true;
                Report::Refused(line.flight.remove(index).expect("it is there").records)
            }
            Outcome::Fenced => {
                self.is_dead = true;
                line.flight[index].is_back = true;
                Report::Fatal
            }
            Outcome::OutOfOrder if index == 0 => {
                self.is_dead = true;
                Report::Fatal
            }
            Outcome::OutOfOrder | Outcome::Transient => {
                line.flight[index].is_back = true;
                Report::Nothing
            }
        }
    }

    /// The oldest batch of a partition is given up, and whether it was ever sent.
    pub(super) fn give_up(&mut self, lane: Lane) -> Option<(Vec<Sent>, bool)> {
        assert!(self.is_dead, "only a dead producer gives anything up");
        let line = self.lines.get_mut(&lane)?;
        if let Some(batch) = line.flight.pop_front() {
            return Some((batch.records, true));
        }
        let records: Vec<_> = line.queue.drain(..).collect();
        (!records.is_empty()).then_some((records, false))
    }
}

const IN_FLIGHT_MAX: usize = 5;
