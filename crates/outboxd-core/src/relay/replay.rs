//! Publishing parked events again: one at a time, with nothing else in flight.
//!
//! While one waits for its turn nothing is read, so that the window empties; then it goes alone, and
//! a refusal is its own. While something of the stream before it is still to be published, because it
//! was lost or because the stream went back, it is not its time. Its topic is looked up anew before
//! it is refused, since what was wrong is supposed to have been mended. A topic that is not available
//! keeps nobody waiting: the event is given back to be offered later.

use super::batch::Batch;
use super::stream::Emit;
use super::{Output, Producer, Relay, Session};
use crate::headers;
use crate::mapping::Mapped;
use crate::record::{HeaderBuffer, Token};
use crate::stop::RecordError;
use crate::time::{Now, Tick};
use crate::topics::{self, Admission, Boundary};

/// A row of the dead-letter table that is to be published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replay {
    /// Of the row.
    pub id: i64,
    pub event_id: String,
    pub topic: String,
    pub partition_key: Option<Vec<u8>>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: i64,
}

/// What became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Replayed {
    Published,
    Refused(RecordError),
    /// It was not sent: offer it again after a while.
    Later,
}

/// The one in turn.
#[derive(Debug)]
pub(super) struct Turn {
    replay: Replay,
    since: Tick,
    /// Where it is in flight.
    lane: Option<u32>,
    /// Kafka has acknowledged it, in a transaction that is not committed yet.
    is_acked: bool,
    /// The session that it was offered in is gone, and another relay may have dealt with the row.
    is_orphan: bool,
}

impl Turn {
    fn is_in_flight(&self) -> bool {
        self.lane.is_some()
    }

    pub(super) fn is_acked(&self) -> bool {
        self.is_acked
    }
}

impl Relay {
    /// A row that is to be published. Answered by [`Output::Replayed`]; one at a time: what is
    /// offered meanwhile is given back.
    pub fn handle_replay(&mut self, now: Now, replay: Replay) {
        self.observe(now);
        if self.turn.is_some() {
            // Offered in a new session, while Kafka still has the one of the former.
            let outcome = Replayed::Later;
            return self.output(Output::Replayed { id: replay.id, outcome });
        }
        self.turn =
            Some(Turn { replay, since: now.tick, lane: None, is_acked: false, is_orphan: false });
        if matches!(self.session, Session::Closed | Session::Opening(_) | Session::Finished) {
            // Offered in a session that has just been given up.
            self.end_replay(Replayed::Later);
        }
        self.drive(now);
    }

    /// A row of the dead-letter table is resolved: its event is published, or discarded.
    pub fn handle_resolved(&mut self, topic: Option<&str>, key: Option<&[u8]>) {
        self.parking.resolved(topic, key);
    }

    /// Gives back what would overtake the stream.
    pub(super) fn drive_replay(&mut self) {
        let is_early = self.window.lost() > 0 || self.parking.is_ahead_of(self.window.end_lsn());
        if self.is_replay_waiting() && is_early {
            self.end_replay(Replayed::Later);
        }
    }

    /// Kafka has it.
    pub(super) fn is_replay_in_flight(&self) -> bool {
        self.turn.as_ref().is_some_and(Turn::is_in_flight)
    }

    fn is_replay_waiting(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| !turn.is_in_flight() && !turn.is_acked)
    }

    /// It is its turn.
    pub(super) fn is_replay_due(&self) -> bool {
        self.is_replay_waiting()
            && self.is_streaming()
            && self.producer == Producer::Alive
            && self.batch.as_ref().is_none_or(Batch::takes_records)
            && self.drain.is_none()
            && self.window.unacked() == 0
    }

    pub(super) fn replay(&mut self, now: Now, emit: Emit<'_>) {
        let Some(Turn { replay, since, lane, .. }) = &mut self.turn else { return };
        let mut headers = HeaderBuffer::default();
        for (name, value) in &replay.headers {
            headers.push(name, value);
        }
        headers.push(headers::REPLAY, b"true");
        let key = replay.key.as_deref();
        let mapped = Mapped {
            event_id: &replay.event_id,
            topic: &replay.topic,
            partition_key: replay.partition_key.as_deref().or(key),
            key,
            value: replay.value.as_deref(),
            headers: headers.as_headers(),
            timestamp_ms: replay.timestamp_ms,
            dropped_headers: Vec::new(),
        };
        // Other records of the transaction that is being read may have been placed already.
        let boundary = Boundary { is_first: false, in_flight: 0 };
        match self.topics.admit_by(now, &mapped, boundary, *since) {
            Admission::Ready { topic, partition, lane: found } => {
                *lane = Some(found);
                self.topics.handed_out(found);
                if let Some(batch) = &mut self.batch {
                    batch.handed_out(now.tick, topics::size(&mapped));
                }
                emit(mapped.record(REPLAY, topic, partition));
            }
            Admission::Ask => {
                let topic = replay.topic.clone();
                self.output(Output::DescribeTopic(topic));
            }
            Admission::Wait { until: None } => {}
            Admission::Wait { until: Some(_) } => self.end_replay(Replayed::Later),
            Admission::Refused { kind, message } => {
                let error = mapped.error(kind, message);
                self.end_replay(Replayed::Refused(error));
            }
        }
    }

    pub(super) fn replay_acked(&mut self, now: Now) {
        if let Some(lane) = self.replay_lane() {
            self.topics.acked(lane, now.tick);
        }
        match (&self.batch, &mut self.turn) {
            (None, _) => self.end_replay(Replayed::Published),
            (Some(batch), Some(turn)) if !batch.is_unfenced() => turn.is_acked = true,
            (Some(_), _) => self.turn = None,
        }
    }

    /// The transaction that it was published in is committed. Until the table knows, every progress
    /// record says so.
    pub(super) fn replay_committed(&mut self) {
        if let Some(turn) = self.turn.take_if(|turn| turn.is_acked) {
            let id = turn.replay.id;
            self.released.push(id);
            self.output(Output::Replayed { id, outcome: Replayed::Published });
        }
    }

    pub(super) fn forget_uncommitted_replay(&mut self) {
        self.turn.take_if(|turn| turn.is_acked);
    }

    /// Rows that the next progress record has to name.
    pub(super) fn released(&self) -> Vec<i64> {
        let acked = self.turn.iter().filter(|turn| turn.is_acked).map(|turn| turn.replay.id);
        self.released.iter().copied().chain(acked).collect()
    }

    /// The table knows that the row's event is published.
    pub fn handle_replay_recorded(&mut self, id: i64) {
        self.released.retain(|released| *released != id);
    }

    /// It goes again with the next producer, in the same session only.
    pub(super) fn replay_lost(&mut self) {
        self.lose_replay_lane();
        self.turn.take_if(|turn| turn.is_orphan);
    }

    pub(super) fn replay_refused(&mut self, error: &RecordError) {
        self.lose_replay_lane();
        self.end_replay(Replayed::Refused(error.clone()));
    }

    /// The session is gone. What is in flight may still be acknowledged.
    pub(super) fn forget_replay(&mut self) {
        self.turn.take_if(|turn| !turn.is_in_flight() && !turn.is_acked);
        if let Some(turn) = &mut self.turn {
            turn.is_orphan = true;
        }
    }

    fn lose_replay_lane(&mut self) {
        if let Some(lane) = self.replay_lane() {
            self.topics.lost(lane);
        }
    }

    fn replay_lane(&mut self) -> Option<u32> {
        self.turn.as_mut()?.lane.take()
    }

    fn end_replay(&mut self, outcome: Replayed) {
        if let Some(turn) = self.turn.take() {
            self.output(Output::Replayed { id: turn.replay.id, outcome });
        }
    }
}

/// No record of the window ever gets so far.
pub(super) const REPLAY: Token = Token(1 << 62);
