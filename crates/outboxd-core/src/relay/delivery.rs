//! What Kafka says: acks, refusals, the death of a producer, topics.

use super::batch::Batch;
use super::replay::REPLAY;
use super::stream::After;
use super::{CloseReason, Note, Output, Producer, Relay};
use crate::ledger::Entry;
use crate::record::Token;
use crate::stop::{Code, RecordError, Stop};
use crate::time::Now;
use crate::topic::{TopicError, TopicInfo};
use crate::topics::{Learned, Switched};

impl Relay {
    /// The record is durable. Cheap: call [`Self::handle_reports_end`] after a batch of reports.
    pub fn handle_ack(&mut self, now: Now, token: Token) {
        if token == REPLAY {
            return self.replay_acked(now);
        }
        self.trial_settled(token);
        let acked = self.window.ack(token);
        let topic = self.topics.acked(acked.lane, now.tick);
        self.stats.acked(token, topic, acked.bytes, now);
    }

    /// The record was given up, by no fault of its own: its producer died.
    pub fn handle_lost(&mut self, token: Token, error: &str) {
        self.producer_failed(error);
        if token == REPLAY {
            return self.replay_lost();
        }
        self.trials.lost(self.window.identity(token));
        let lane = self.window.lose(token);
        self.topics.lost(lane);
        self.stats.lost(token);
    }

    /// Kafka will not take the batch of this record, ever. Which of its records is at fault is found
    /// out with the next producer, and what is known of the topic is looked up again: its limits may
    /// have changed, and an unknown topic may be a broker that has just started.
    pub fn handle_refused(&mut self, token: Token, error: &RecordError) {
        if token == REPLAY {
            self.producer_failed(&error.message);
            return self.replay_refused(error);
        }
        self.topics.ask_again(self.window.lane(token));
        if !error.kind.is_of_topic() {
            self.trials.refused(self.window.identity(token), error);
        }
        self.handle_lost(token, &error.message);
    }

    /// The parcel's row is committed.
    pub fn handle_parked(&mut self, now: Now, token: Token) {
        if self.parking.parked(token) {
            self.trial_settled(token);
            self.window.ack(token);
            self.handle_reports_end(now);
        }
    }

    fn trial_settled(&mut self, token: Token) {
        if !self.trials.is_idle() {
            self.trials.settled(self.window.identity(token));
        }
    }

    /// The producer is dead; reports of what it still holds follow.
    pub fn handle_producer_failed(&mut self, now: Now, error: &str) {
        self.producer_failed(error);
        self.handle_reports_end(now);
    }

    /// The producer does not suit any more: it is replaced when its reports are in, and what it would
    /// have been given waits.
    pub fn handle_producer_retired(&mut self, now: Now, reason: &str) {
        self.give_producer_up(|| Note::ProducerRetired { reason: reason.to_owned() });
        self.handle_reports_end(now);
    }

    /// A batch of reports was handled.
    pub fn handle_reports_end(&mut self, now: Now) {
        self.observe(now);
        self.clock.awaiting_since = None;
        self.drive(now);
    }

    pub fn handle_progress_acked(&mut self, now: Now, offset: Option<i64>) {
        self.observe(now);
        // A transaction shuts others out, and its marks take offsets of their own.
        let offset = offset.filter(|_| self.batch.is_none());
        match self.ledger.acked(offset) {
            Ok(Some(entry)) if self.batch.is_some() => self.written(entry),
            Ok(Some(Entry::Claim(_))) => self.claim_acked(offset),
            Ok(Some(entry)) => self.recorded(now, entry),
            Ok(None) => {}
            Err(foreign) => {
                self.disown();
                self.close(CloseReason::ForeignWriter(foreign));
            }
        }
        self.handle_reports_end(now);
    }

    /// A record of the progress topic is durable.
    pub(super) fn recorded(&mut self, now: Now, entry: Entry) {
        match entry {
            Entry::Claim(_) => self.claim_committed(now),
            Entry::Position(position) => {
                self.confirmed = self.confirmed.max(position.progress.end_lsn);
                self.recorded_records = self.recorded_records.max(position.durable_records);
                self.send_status(now, false);
                self.first_position_acked(now);
            }
            Entry::Topic { .. } | Entry::Forget { .. } => {}
        }
    }

    /// The progress record went down with its producer, or was refused.
    pub fn handle_progress_lost(&mut self, now: Now, error: &str) {
        self.producer_failed(error);
        self.ledger.lost();
        self.handle_reports_end(now);
    }

    pub fn handle_topic(&mut self, now: Now, topic: &str, answer: Result<TopicInfo, TopicError>) {
        self.observe(now);
        if answer.is_ok() {
            self.clock.awaiting_since = None;
        }
        let error = answer.as_ref().err().cloned();
        match self.topics.learn(now.tick, topic, answer) {
            Learned::New { partitions } if self.ledger.is_owned() => {
                self.ledger.push(Entry::Topic { name: topic.to_owned(), partitions });
            }
            // What is learned while the progress topic is not ours is recorded when it is.
            Learned::New { .. } | Learned::Known => {}
            Learned::Unavailable => {
                let error = error.unwrap_or(TopicError::Unknown);
                self.note(Note::TopicUnavailable { topic: topic.to_owned(), error });
            }
            Learned::PartitionsChanged { recorded, found } => {
                self.handle_stop(now, partitions_changed(topic, recorded, found));
            }
        }
        self.drive(now);
    }

    /// When all reports of a failed producer are in: a new one, and a new stream for what was lost.
    pub(super) fn drive_producer(&mut self, now: Now) {
        let settled = self.window.unacked() == 0
            && !self.ledger.is_in_flight()
            && !self.is_replay_in_flight();
        if self.producer != Producer::Failed || !settled || self.batch.is_some() {
            return;
        }
        self.producer = Producer::Outgoing;
        self.topics.producer_replaced();
        self.output(Output::ReplaceProducer);
        self.note(Note::ProducerReplaced { lost: self.window.lost() });
        if self.is_streaming() && self.window.lost() > 0 && self.drain.is_none() {
            self.end_stream(now, After::Restart);
        }
    }

    /// Topics that are to be looked up beside their use, and those that have got more partitions.
    pub(super) fn drive_topics(&mut self) {
        for topic in self.topics.take_due() {
            self.output(Output::DescribeTopic(topic));
        }
        for Switched { topic, from, to } in self.topics.take_switched() {
            if self.ledger.is_owned() {
                self.ledger.push(Entry::Topic { name: topic.clone(), partitions: to });
            }
            let at = self.window.last_handed_out();
            self.note(Note::PartitionsSwitched { topic, from, to, at });
        }
    }

    fn producer_failed(&mut self, error: &str) {
        self.give_producer_up(|| Note::ProducerFailed { error: error.to_owned() });
    }

    /// The first reason is the one that counts.
    pub(super) fn give_producer_up(&mut self, why: impl FnOnce() -> Note) {
        let is_gone = self.batch.as_ref().is_some_and(Batch::is_unfenced);
        if self.producer == Producer::Alive && !is_gone {
            self.producer = Producer::Failed;
            self.note(why());
        }
    }
}

fn partitions_changed(topic: &str, recorded: u32, found: u32) -> Stop {
    Stop::new(Code::PartitionsChanged, format!("topic {topic:?} has another number of partitions"))
        .detail(format!(
            "events were placed over {recorded} partitions, now there are {found}: keys would move \
             and their order would be lost"
        ))
        .hint(
            "let consumers read what is there, then delete the record of this topic from the \
             progress topic and start again; or set topic.on_partitions_changed to \"switch\"",
        )
}
