//! Writing to the progress topic: one record at a time, and only while nobody else does.
//!
//! In at-least-once mode nothing fences a former owner that was frozen and woke up. But the topic
//! has one partition, so if the offset of an acked record is not the one after our last, somebody
//! else has written in between.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::progress::{Progress, progress_key, topic_key, topic_value};

#[derive(Debug, Default)]
pub struct Ledger {
    queue: VecDeque<Entry>,
    in_flight: Option<Entry>,
    /// What is in flight was overtaken by a claim, or by the loss of the topic.
    is_outdated: bool,
    /// The offset that the next acked record must have; `None` while the topic is not ours.
    next_offset: Option<i64>,
    /// How many records of ours may stand before it: lost with a producer, perhaps written.
    perhaps_written: i64,
}

/// A record of the progress topic.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Takes the topic over. Position as it was.
    Claim(Box<Progress>),
    Position(Box<Position>),
    Topic {
        name: String,
        partitions: u32,
    },
    /// An older acquisition's record does not count any more.
    Forget {
        acquisition: u64,
    },
}

#[derive(Clone, Debug)]
pub struct Position {
    pub progress: Progress,
    /// How many records were durable when the position was taken.
    pub durable_records: u64,
}

/// Somebody else has written to the progress topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("progress record got offset {found}, expected {expected}: another relay has written")]
pub struct ForeignWriter {
    pub expected: i64,
    pub found: i64,
}

impl Ledger {
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.queue.is_empty()
    }

    /// A record was handed to the sink and its report is still to come.
    pub fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
    }

    /// The claim was found to hold, and nobody has written since.
    pub fn is_owned(&self) -> bool {
        self.next_offset.is_some()
    }

    /// A new owner's claim: nothing that was queued before counts any more. What is in flight
    /// still gets its report.
    pub fn claim(&mut self, progress: Progress) {
        self.disown();
        self.push(Entry::Claim(Box::new(progress)));
    }

    /// The topic is not ours any more: nothing of what was queued may be written.
    pub fn disown(&mut self) {
        self.queue.clear();
        self.is_outdated = self.in_flight.is_some();
        self.next_offset = None;
        self.perhaps_written = 0;
    }

    /// From here on every offset is checked.
    pub fn owned_from(&mut self, next_offset: i64) {
        self.next_offset = Some(next_offset);
        self.perhaps_written = 0;
    }

    /// The next record to hand over, as key and value. Until the topic is ours only a claim is.
    pub fn take(&mut self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        if self.in_flight.is_some() {
            return None;
        }
        if !self.is_owned() && !matches!(self.queue.front(), Some(Entry::Claim(_))) {
            return None;
        }
        let entry = self.queue.pop_front()?;
        let record = entry.encode();
        self.in_flight = Some(entry);
        Some(record)
    }

    /// The record in flight is durable at `offset`, where the broker said so.
    pub fn acked(&mut self, offset: Option<i64>) -> Result<Option<Entry>, ForeignWriter> {
        let is_outdated = std::mem::take(&mut self.is_outdated);
        let outdated_claim = |entry: &Entry| is_outdated && matches!(entry, Entry::Claim(_));
        let entry = self.in_flight.take().filter(|entry| !outdated_claim(entry));
        let Some(expected) = self.next_offset else { return Ok(entry) };
        let Some(found) = offset else {
            self.next_offset = Some(expected + 1);
            return Ok(entry);
        };
        if found < expected || found > expected + self.perhaps_written {
            return Err(ForeignWriter { expected, found });
        }
        self.owned_from(found + 1);
        Ok(entry)
    }

    /// The record in flight was lost with its producer: it goes first with the next one, unless it
    /// is outdated.
    pub fn lost(&mut self) {
        let Some(entry) = self.in_flight.take() else { return };
        self.perhaps_written += 1;
        if !std::mem::take(&mut self.is_outdated) {
            self.queue.push_front(entry);
        }
    }
}

impl Entry {
    fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Self::Claim(progress) => (progress.key(), Some(progress.value())),
            Self::Position(position) => (position.progress.key(), Some(position.progress.value())),
            Self::Topic { name, partitions } => (topic_key(name), Some(topic_value(*partitions))),
            Self::Forget { acquisition } => (progress_key(*acquisition), None),
        }
    }
}
