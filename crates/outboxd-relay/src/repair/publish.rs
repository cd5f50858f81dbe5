//! Publishing rows of the table: in order, with a bounded number in flight, placed and admitted by
//! the same rules as the stream's.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use outboxd_core::mapping::Mapped;
use outboxd_core::progress::{Progress, topic_key, topic_value};
use outboxd_core::record::Token;
use outboxd_core::stop::{Code, RecordErrorKind, Stop};
use outboxd_core::topic::TopicError;
use outboxd_core::topics::{self, Admission, Boundary, Learned, OnPartitionsChanged, Topics};
use outboxd_core::window::Limits;

use super::pass::Unpublished;
use crate::run::clock::Stopwatch;
use crate::sink::{Refusal, Report, Sink, stop};

pub(super) struct Publisher<'a, S> {
    sink: &'a mut S,
    topics: Topics,
    limits: Limits,
    stopwatch: Stopwatch,
    next: u64,
    /// Lane and size of what has no report yet.
    in_flight: HashMap<Token, (u32, u64)>,
    bytes: u64,
    /// Topics whose partition counts are to be recorded.
    learned: BTreeMap<String, u32>,
    /// The broker has the progress record that was appended last.
    is_recorded: bool,
}

impl<'a, S: Sink> Publisher<'a, S> {
    /// `counts`: the partition counts that earlier events were placed with.
    pub(super) fn new(
        sink: &'a mut S,
        counts: BTreeMap<String, u32>,
        policy: OnPartitionsChanged,
        limits: Limits,
    ) -> Self {
        let mut topics = Topics::new(policy);
        topics.recorded(counts);
        Self {
            sink,
            topics,
            limits,
            stopwatch: Stopwatch::start(),
            next: 0,
            in_flight: HashMap::new(),
            bytes: 0,
            learned: BTreeMap::new(),
            is_recorded: false,
        }
    }

    /// Waits until Kafka has everything.
    pub(super) async fn drain(&mut self) -> Result<(), Stop> {
        while !self.in_flight.is_empty() {
            self.report().await?;
        }
        Ok(())
    }

    /// Records a position, and the topics used on the way to it before.
    pub(super) async fn record(&mut self, progress: &Progress) -> Result<(), Stop> {
        self.drain().await?;
        let mut counts = std::mem::take(&mut self.learned);
        for switched in self.topics.take_switched() {
            counts.insert(switched.topic, switched.to);
        }
        for (topic, partitions) in counts {
            self.append(&topic_key(&topic), &topic_value(partitions)).await?;
        }
        self.append(&progress.key(), &progress.value()).await
    }

    async fn append(&mut self, key: &[u8], value: &[u8]) -> Result<(), Stop> {
        self.is_recorded = false;
        let appended = self.sink.append_progress(key, Some(value));
        appended.map_err(|error| unrecorded(&error.to_string()))?;
        while !self.is_recorded {
            self.report().await?;
        }
        Ok(())
    }

    /// Hands a record over as soon as it may be.
    pub(super) async fn hand_over(&mut self, mapped: &Mapped<'_>) -> Result<(), Unpublished> {
        loop {
            self.make_room(topics::size(mapped) as u64).await?;
            let now = self.stopwatch.now();
            let boundary = Boundary { is_first: true, in_flight: self.in_flight.len() };
            match self.topics.admit(now, mapped, boundary) {
                Admission::Ready { topic, partition, lane } => {
                    let token = Token(self.next);
                    let record = mapped.record(token, topic, partition);
                    let produced = self.sink.produce(&record);
                    produced.map_err(|error| failed(&error.to_string()))?;
                    self.next += 1;
                    self.topics.handed_out(lane);
                    let size = topics::size(mapped) as u64 + self.limits.overhead;
                    self.bytes += size;
                    self.in_flight.insert(token, (lane, size));
                    return Ok(());
                }
                Admission::Ask => self.ask(mapped.topic).await?,
                Admission::Wait { until: None } => self.report().await?,
                Admission::Wait { until: Some(tick) } => {
                    tokio::time::sleep_until(self.stopwatch.instant(tick)).await;
                }
                Admission::Refused { kind, message } => {
                    return Err(Unpublished::Refused(kind, message));
                }
            }
        }
    }

    async fn make_room(&mut self, bytes: u64) -> Result<(), Stop> {
        let Limits { events, bytes: bytes_max, .. } = self.limits;
        // One that is larger than all that may be in flight goes alone.
        while self.in_flight.len() >= events || (self.bytes > 0 && self.bytes + bytes > bytes_max) {
            self.report().await?;
        }
        Ok(())
    }

    async fn ask(&mut self, topic: &str) -> Result<(), Stop> {
        let answer = self.sink.describe_topic(topic.to_owned()).await;
        if answer == Err(TopicError::Unauthorized) {
            return Err(unauthorized(topic));
        }
        let info = answer.as_ref().ok();
        let outdated = info.and_then(|info| self.sink.outdated_by(topic, info));
        match self.topics.learn(self.stopwatch.now().tick, topic, answer) {
            Learned::New { partitions } => {
                self.learned.insert(topic.to_owned(), partitions);
            }
            Learned::Known | Learned::Unavailable => {}
            Learned::PartitionsChanged { recorded, found } => {
                return Err(partitions_changed(topic, recorded, found));
            }
        }
        if outdated.is_some() {
            self.drain().await?;
            self.sink.replace_producer().map_err(|error| stop::refused(&error))?;
            self.topics.producer_replaced();
        }
        Ok(())
    }

    /// Takes the reports that are there, or the next one.
    async fn report(&mut self) -> Result<(), Stop> {
        self.sink.reports_ready().await;
        while let Some(report) = self.sink.next_report() {
            match report {
                Report::Acked(token) => self.acked(token),
                Report::ProgressAcked { .. } => self.is_recorded = true,
                Report::Refused(refusal) => return Err(refused(&refusal)),
                Report::ProgressRefused { error } => return Err(unrecorded(&error)),
                Report::Fatal { error } => return Err(failed(&error)),
            }
        }
        Ok(())
    }

    fn acked(&mut self, token: Token) {
        let Some((lane, size)) = self.in_flight.remove(&token) else { return };
        self.bytes -= size;
        self.topics.acked(lane, self.stopwatch.now().tick);
    }
}

fn refused(refusal: &Refusal) -> Stop {
    let Some(kind) = refusal.cause.kind() else { return failed(&refusal.error) };
    let event = refusal.event_id.as_deref().unwrap_or("unknown");
    Stop::new(Code::Record(kind), format!("Kafka refuses a record for topic {:?}", refusal.topic))
        .detail(format!(
            "event {event}: {}; brokers judge batches, it may be one beside it",
            refusal.error
        ))
        .hint(AGAIN)
}

fn failed(error: &str) -> Stop {
    Stop::new(Code::Internal, "the Kafka producer has failed").detail(error).hint(AGAIN)
}

fn unrecorded(error: &str) -> Stop {
    Stop::new(Code::KafkaUnreachable, "the position could not be recorded")
        .detail(error)
        .hint(AGAIN)
}

fn unauthorized(topic: &str) -> Stop {
    let code = Code::Record(RecordErrorKind::TopicUnauthorized);
    Stop::new(code, format!("topic {topic:?} may not be written"))
        .detail("the relay's Kafka user lacks rights on it")
        .hint(format!("grant Write, Describe and DescribeConfigs; {AGAIN}"))
}

fn partitions_changed(topic: &str, recorded: u32, found: u32) -> Stop {
    Stop::new(Code::PartitionsChanged, format!("topic {topic:?} has another number of partitions"))
        .detail(format!("events were placed over {recorded} partitions, now there are {found}"))
        .hint(format!("set topic.on_partitions_changed to \"switch\"; {AGAIN}"))
}

pub(super) const AGAIN: &str = "mend the cause and run `outboxd slot repair` again: until it is \
                                done no relay streams, and what was published goes again";
