//! Topics in use and their partitions: which record may be handed out now, and which never.
//!
//! A *lane* is one partition of one topic under the present producer. A broker accepts any first
//! sequence number from a producer it does not know, so with two batches in flight the second could
//! be written while the first is refused, and order would break. Therefore a lane carries one
//! record at a time until its first ack, and again when it was quiet for so long that brokers
//! forget a producer.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::mapping::Mapped;
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::record::{self, TopicId};
use crate::stop::RecordErrorKind;
use crate::time::{Now, Tick};
use crate::topic::{TopicError, TopicInfo};

#[derive(Debug)]
pub struct Topics {
    policy: OnPartitionsChanged,
    /// To be looked up again.
    due: Vec<String>,
    switched: Vec<Switched>,
    by_name: HashMap<String, TopicId>,
    topics: Vec<Topic>,
    lanes: Vec<Lane>,
    /// Partition counts that earlier events were placed with.
    recorded: BTreeMap<String, u32>,
}

/// What to do with a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Admission {
    Ready {
        topic: TopicId,
        partition: i32,
        lane: u32,
    },
    /// Look the topic up.
    Ask,
    /// For an answer or an ack, or until it is time to ask again.
    Wait {
        until: Option<Tick>,
    },
    Refused {
        kind: RecordErrorKind,
        message: String,
    },
}

/// What to do when a topic has got more partitions: keys move to others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnPartitionsChanged {
    Stop,
    /// Go over to the new number between two transactions, with nothing in flight.
    Switch,
}

impl OnPartitionsChanged {
    /// Never to fewer: what lies in the others could not be told from what is to come.
    fn goes_over(self, from: u32, to: u32) -> bool {
        self == Self::Switch && to > from
    }
}

/// Where in the stream a record stands.
#[derive(Clone, Copy, Debug)]
pub struct Boundary {
    /// Nothing of its transaction was handed out yet.
    pub is_first: bool,
    /// Records without a report.
    pub in_flight: usize,
}

/// A topic went over to another number of partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Switched {
    pub topic: String,
    pub from: u32,
    pub to: u32,
}

/// What an answer about a topic means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Learned {
    /// First use: its partition count is to be recorded.
    New {
        partitions: u32,
    },
    Known,
    /// Ask again later.
    Unavailable,
    PartitionsChanged {
        recorded: u32,
        found: u32,
    },
}

#[derive(Debug)]
struct Topic {
    name: String,
    state: State,
    /// The lanes of its partitions: the first, and how many.
    lanes: Option<(u32, u32)>,
    /// It has more partitions now, and goes over to them at the next boundary.
    next: Option<TopicInfo>,
}

#[derive(Debug)]
enum State {
    Unasked,
    /// `unknown_since`: the first of the answers without a break that it does not exist.
    Asked {
        unknown_since: Option<Tick>,
    },
    Unavailable {
        unknown_since: Option<Tick>,
        answered_at: Tick,
        error: TopicError,
    },
    Known {
        info: TopicInfo,
        learned_at: Tick,
        /// It is being looked up again while it is used.
        checking: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    topic: TopicId,
    in_flight: u32,
    acked_at: Option<Tick>,
}

impl Topics {
    pub fn new(policy: OnPartitionsChanged) -> Self {
        Self {
            policy,
            due: Vec::new(),
            switched: Vec::new(),
            by_name: HashMap::new(),
            topics: Vec::new(),
            lanes: Vec::new(),
            recorded: BTreeMap::new(),
        }
    }

    /// The partition counts that the progress topic knows. Gives those that it lacks. A topic that
    /// it knows otherwise than we do is looked up again: another relay may have gone over to the
    /// new count.
    pub fn recorded(&mut self, counts: BTreeMap<String, u32>) -> Vec<(String, u32)> {
        self.recorded = counts;
        let mut missing = Vec::new();
        for topic in &mut self.topics {
            let State::Known { info, .. } = &topic.state else { continue };
            match self.recorded.get(&topic.name) {
                Some(count) if *count == info.partitions => {}
                Some(_) => topic.state = State::Unasked,
                None => missing.push((topic.name.clone(), info.partitions)),
            }
        }
        self.recorded.extend(missing.iter().cloned());
        missing
    }

    pub fn name(&self, id: TopicId) -> &str {
        &self.topics[id.0 as usize].name
    }

    /// Whether the record may be handed out now. It is refused only by what was looked up lately:
    /// limits are changed by administrators.
    pub fn admit(&mut self, now: Now, record: &Mapped<'_>, boundary: Boundary) -> Admission {
        self.admit_by(now, record, boundary, now.tick - BELIEVED_FOR)
    }

    /// As [`Self::admit`], refused only by what was looked up at or after a moment.
    pub fn admit_by(
        &mut self,
        now: Now,
        record: &Mapped<'_>,
        boundary: Boundary,
        believed: Tick,
    ) -> Admission {
        let id = self.id(record.topic);
        if self.topics[id.0 as usize].next.is_some() && boundary.is_first {
            if boundary.in_flight > 0 {
                return Admission::Wait { until: None };
            }
            self.switch(id, now.tick);
        }
        let Topic { name, state, lanes, .. } = &mut self.topics[id.0 as usize];
        match state {
            State::Known { info, learned_at, checking } => {
                if let Some(refused) = refuse(info, record) {
                    if *learned_at >= believed {
                        return refused;
                    }
                    *state = State::Asked { unknown_since: None };
                    return Admission::Ask;
                }
                if now.tick.since(*learned_at) >= CHECK_EVERY && !*checking {
                    *checking = true;
                    self.due.push(name.clone());
                }
                let partition = record.partition(info.partitions);
                let first_lane = lanes.map_or(0, |(first, _)| first);
                let lane = first_lane + partition.unsigned_abs();
                if self.lanes[lane as usize].is_open(now.tick) {
                    Admission::Ready { topic: id, partition, lane }
                } else {
                    Admission::Wait { until: None }
                }
            }
            State::Unavailable { unknown_since, answered_at, error }
                if is_final(error, *unknown_since, *answered_at) =>
            {
                if *answered_at < believed {
                    *state = State::Asked { unknown_since: *unknown_since };
                    return Admission::Ask;
                }
                let kind = match error {
                    TopicError::InvalidName => RecordErrorKind::InvalidTopic,
                    _ => RecordErrorKind::UnknownTopic,
                };
                let message = format!("{error} {:?}", record.topic);
                Admission::Refused { kind, message }
            }
            state => state.ask_if_due(now.tick),
        }
    }

    /// Topics to be looked up again, beside their use.
    pub fn take_due(&mut self) -> Vec<String> {
        std::mem::take(&mut self.due)
    }

    /// Topics that went over to another number of partitions.
    pub fn take_switched(&mut self) -> Vec<Switched> {
        std::mem::take(&mut self.switched)
    }

    /// What is known now. Without an answer, what was known stays.
    fn check(&mut self, id: TopicId, now: Tick, answer: Result<TopicInfo, TopicError>) -> Learned {
        let policy = self.policy;
        let topic = &mut self.topics[id.0 as usize];
        let State::Known { info, learned_at, checking } = &mut topic.state else {
            return Learned::Known;
        };
        if !std::mem::take(checking) {
            return Learned::Known;
        }
        *learned_at = now;
        // As for the first look: a topic without partitions is one that is just being made.
        let Some(found) = answer.ok().filter(|found| found.partitions > 0) else {
            return Learned::Known;
        };
        let (from, to) = (info.partitions, found.partitions);
        if from == to {
            *info = found;
            return Learned::Known;
        }
        if policy.goes_over(from, to) {
            topic.next = Some(found);
            return Learned::Known;
        }
        Learned::PartitionsChanged { recorded: from, found: to }
    }

    fn switch(&mut self, id: TopicId, now: Tick) {
        let topic = &mut self.topics[id.0 as usize];
        let Some(info) = topic.next.take() else { return };
        let from = topic.lanes.map_or(0, |(_, count)| count);
        let to = info.partitions;
        topic.state = State::Known { info, learned_at: now, checking: false };
        let name = topic.name.clone();
        self.open_lanes(id, to);
        self.recorded.insert(name.clone(), to);
        self.switched.push(Switched { topic: name, from, to });
    }

    /// Lanes for so many partitions, unless there are.
    fn open_lanes(&mut self, id: TopicId, partitions: u32) {
        let topic = &mut self.topics[id.0 as usize];
        if topic.lanes.is_some_and(|(_, count)| count == partitions) {
            return;
        }
        let first = u32::try_from(self.lanes.len()).expect("fewer than 2^32 partitions");
        topic.lanes = Some((first, partitions));
        let lane = Lane { topic: id, in_flight: 0, acked_at: None };
        self.lanes.extend((0..partitions).map(|_| lane));
    }

    pub fn learn(
        &mut self,
        now: Tick,
        name: &str,
        answer: Result<TopicInfo, TopicError>,
    ) -> Learned {
        let Some(&id) = self.by_name.get(name) else { return Learned::Unavailable };
        let topic = &mut self.topics[id.0 as usize];
        let State::Asked { unknown_since } = topic.state else {
            return self.check(id, now, answer);
        };
        match answer {
            Ok(info) if info.partitions > 0 => {
                let found = info.partitions;
                let recorded = self.recorded.get(name).copied();
                let grown = recorded.filter(|recorded| self.policy.goes_over(*recorded, found));
                let partitions = grown.unwrap_or(found);
                topic.next = grown.map(|_| info.clone());
                let info = TopicInfo { partitions, ..info };
                topic.state = State::Known { info, learned_at: now, checking: false };
                self.open_lanes(id, partitions);
                match recorded {
                    None => {
                        self.recorded.insert(name.to_owned(), found);
                        Learned::New { partitions: found }
                    }
                    Some(recorded) if recorded == partitions => Learned::Known,
                    Some(recorded) => Learned::PartitionsChanged { recorded, found },
                }
            }
            answer => {
                let error = answer.err().unwrap_or(TopicError::Unknown);
                let is_unknown = error == TopicError::Unknown;
                let unknown_since = is_unknown.then(|| unknown_since.unwrap_or(now));
                topic.state = State::Unavailable { unknown_since, answered_at: now, error };
                Learned::Unavailable
            }
        }
    }

    pub fn handed_out(&mut self, lane: u32) {
        self.lanes[lane as usize].in_flight += 1;
    }

    /// A record of the lane is durable. Gives its topic.
    pub fn acked(&mut self, lane: u32, now: Tick) -> TopicId {
        let lane = &mut self.lanes[lane as usize];
        lane.in_flight -= 1;
        lane.acked_at = Some(now);
        lane.topic
    }

    pub fn lost(&mut self, lane: u32) {
        self.lanes[lane as usize].in_flight -= 1;
    }

    /// What is known of the topic of this lane may be out of date.
    pub fn ask_again(&mut self, lane: u32) {
        let topic = self.lanes[lane as usize].topic;
        self.topics[topic.0 as usize].state = State::Unasked;
    }

    /// No partition knows the new producer yet.
    pub fn producer_replaced(&mut self) {
        for lane in &mut self.lanes {
            assert_eq!(lane.in_flight, 0, "every report of the former producer was taken");
            lane.acked_at = None;
        }
    }

    fn id(&mut self, name: &str) -> TopicId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let id = u32::try_from(self.topics.len()).expect("fewer than 2^32 topics");
        self.topics.push(Topic {
            name: name.to_owned(),
            state: State::Unasked,
            lanes: None,
            next: None,
        });
        self.by_name.insert(name.to_owned(), TopicId(id));
        TopicId(id)
    }
}

impl State {
    fn ask_if_due(&mut self, now: Tick) -> Admission {
        let unknown_since = match *self {
            Self::Unasked => None,
            Self::Unavailable { answered_at, .. } if now < answered_at + ASK_AGAIN => {
                return Admission::Wait { until: Some(answered_at + ASK_AGAIN) };
            }
            Self::Unavailable { unknown_since, .. } => unknown_since,
            Self::Asked { .. } | Self::Known { .. } => return Admission::Wait { until: None },
        };
        *self = Self::Asked { unknown_since };
        Admission::Ask
    }
}

impl Lane {
    fn is_open(&self, now: Tick) -> bool {
        #[cfg(test)]
        if is_planted(Planted::TrustsFreshProducer) {
            return true;
        }
        let proven = self.acked_at.is_some_and(|at| now.since(at) < FORGOTTEN_AFTER);
        proven || self.in_flight == 0
    }
}

/// Bytes of a record in a batch, before compression.
pub fn size(record: &Mapped<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    record::encoded_bytes(length(record.key), length(record.value), record.headers)
}

/// Whether brokers have had time enough to make up their mind. Metadata flaps while brokers
/// restart; rights come and go with administrators. Only answers count, not the time without any.
fn is_final(error: &TopicError, unknown_since: Option<Tick>, answered_at: Tick) -> bool {
    match error {
        TopicError::Unknown => {
            unknown_since.is_some_and(|since| answered_at.since(since) >= UNKNOWN_FOR)
        }
        TopicError::InvalidName => true,
        TopicError::Unauthorized | TopicError::Transport(_) => false,
    }
}

/// What an idempotent producer must not be given: it would write later records past a refused one.
/// Whether a timestamp suits is left to the broker, whose clock decides: ours may be wrong.
fn refuse(info: &TopicInfo, record: &Mapped<'_>) -> Option<Admission> {
    let refused = |kind, message| Some(Admission::Refused { kind, message });
    let size = size(record);
    if let Some(limit) = info.max_message_bytes
        && size + BATCH_OVERHEAD > limit
    {
        let message = format!(
            "the record has {size} bytes; topic {:?} takes {limit} (max.message.bytes, judged \
             before compression, with {BATCH_OVERHEAD} bytes of batch header)",
            record.topic
        );
        return refused(RecordErrorKind::RecordTooLarge, message);
    }
    if info.compacted && record.key.is_none() {
        let message = format!("topic {:?} is compacted and the event has no key", record.topic);
        return refused(RecordErrorKind::InvalidKey, message);
    }
    None
}

/// The header of a record batch, format 2.
const BATCH_OVERHEAD: usize = 61;
/// Brokers forget a producer id after a day by default; half of it is on the safe side.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(12 * 60 * 60);
/// How long brokers must keep saying that a topic does not exist.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often a topic in use is looked up again.
const CHECK_EVERY: Duration = Duration::from_secs(30);
const BELIEVED_FOR: Duration = Duration::from_secs(1);
