//! What waits in each partition, and which partitions pause: pure, time comes in.
//!
//! A lane hands out one message at a time, in order. What could not be told (database away, leased
//! by another) comes back to the front and waits; meanwhile its partition pauses, and so does one
//! that has read far ahead of its handler.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::message::Message;

/// Topic and partition.
pub(super) type Place = (String, i32);

#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<Place, Lane>);

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Message>,
    bytes: usize,
    running: bool,
    not_before: Option<Instant>,
    /// Since the last message that came through.
    setbacks: u32,
    paused: bool,
    closing: bool,
}

/// Partitions whose state at the client has to change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) pause: Vec<Place>,
    pub(super) resume: Vec<Place>,
}

impl Lanes {
    /// What comes while its partition is being taken away will come to the next owner.
    pub(super) fn push(&mut self, message: Message) {
        let lane = self.0.entry(place_of(&message)).or_default();
        if !lane.closing {
            lane.bytes += size_of(&message);
            lane.waiting.push_back(message);
        }
    }

    /// The messages to handle now: at most one of each partition.
    pub(super) fn start(&mut self, now: Instant) -> Vec<Message> {
        self.0.values_mut().filter_map(|lane| lane.start(now)).collect()
    }

    pub(super) fn through(&mut self, place: &Place) {
        if let Some(lane) = self.0.get_mut(place) {
            (lane.running, lane.setbacks) = (false, 0);
        }
    }

    /// To be handled again, before all others of its partition.
    pub(super) fn again(&mut self, message: Message, now: Instant) {
        let Some(lane) = self.0.get_mut(&place_of(&message)) else { return };
        lane.running = false;
        if !lane.closing {
            lane.not_before = Some(now + delay_after(lane.setbacks));
            lane.setbacks += 1;
            lane.bytes += size_of(&message);
            lane.waiting.push_front(message);
        }
    }

    /// What should pause and does not, and the reverse. Counts as done.
    pub(super) fn flow(&mut self) -> Flow {
        let mut flow = Flow::default();
        for (place, lane) in &mut self.0 {
            let should = lane.should_pause();
            if should != lane.paused && !lane.closing {
                lane.paused = should;
                let changed = if should { &mut flow.pause } else { &mut flow.resume };
                changed.push(place.clone());
            }
        }
        flow
    }

    /// When something that waits for a time may go on.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        self.0.values().filter_map(|lane| lane.not_before).filter(|&at| at > now).min()
    }

    /// Starts nothing more of these partitions.
    pub(super) fn close(&mut self, places: &[Place]) {
        for place in places {
            if let Some(lane) = self.0.get_mut(place) {
                lane.close();
            }
        }
    }

    pub(super) fn close_all(&mut self) {
        self.0.values_mut().for_each(Lane::close);
    }

    pub(super) fn is_quiet(&self, places: &[Place]) -> bool {
        !places.iter().any(|place| self.0.get(place).is_some_and(|lane| lane.running))
    }

    pub(super) fn remove(&mut self, places: &[Place]) {
        self.0.retain(|place, _| !places.contains(place));
    }
}

impl Lane {
    fn start(&mut self, now: Instant) -> Option<Message> {
        if self.running || self.closing || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let message = self.waiting.pop_front()?;
        (self.running, self.not_before) = (true, None);
        self.bytes -= size_of(&message);
        Some(message)
    }

    fn should_pause(&self) -> bool {
        let (count, bytes) = (self.waiting.len(), self.bytes);
        let is_full = count >= WAITING_MAX || bytes >= WAITING_BYTES_MAX;
        let is_half_full = count >= WAITING_MAX / 2 || bytes >= WAITING_BYTES_MAX / 2;
        self.setbacks > 0 || is_full || (self.paused && is_half_full)
    }

    fn close(&mut self) {
        self.closing = true;
        self.waiting.clear();
        (self.bytes, self.not_before) = (0, None);
    }
}

pub(super) fn place_of(message: &Message) -> Place {
    (message.topic.clone(), message.partition)
}

/// A message's share of memory, headers and bookkeeping counted roughly.
fn size_of(message: &Message) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = message.headers.iter().map(|header| header.name.len() + length(&header.value));
    length(&message.key) + length(&message.value) + headers.sum::<usize>() + MESSAGE_BYTES
}

fn delay_after(setbacks: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << setbacks.min(10)).min(LONGEST_DELAY)
}

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// Far more than a handler gets through before a resumed partition delivers again.
const WAITING_MAX: usize = 1000;
const WAITING_BYTES_MAX: usize = 4 << 20;
const MESSAGE_BYTES: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(partition: i32, offset: i64) -> Message {
        Message { topic: "t".to_owned(), partition, offset, ..Message::default() }
    }

    fn place(partition: i32) -> Place {
        ("t".to_owned(), partition)
    }

    fn started(lanes: &mut Lanes, now: Instant) -> Vec<(i32, i64)> {
        lanes.start(now).iter().map(|message| (message.partition, message.offset)).collect()
    }

    #[test]
    fn one_of_each_partition_and_the_next_when_it_is_through() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for (partition, offset) in [(0, 1), (0, 2), (1, 5)] {
            lanes.push(message(partition, offset));
        }
        assert_eq!(started(&mut lanes, now), [(0, 1), (1, 5)]);
        assert_eq!(started(&mut lanes, now), []);
        lanes.through(&place(0));
        assert_eq!(started(&mut lanes, now), [(0, 2)]);
    }

    #[test]
    fn what_comes_back_goes_first_after_a_pause() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.push(message(0, 1));
        lanes.push(message(0, 2));
        let first = lanes.start(now).remove(0);
        lanes.again(first, now);
        assert_eq!(started(&mut lanes, now), []);
        assert_eq!(lanes.flow().pause, [place(0)]);
        assert_eq!(lanes.flow(), Flow::default(), "told once");
        let later = lanes.wake_at(now).unwrap();
        assert_eq!(started(&mut lanes, later), [(0, 1)]);
        assert_eq!(lanes.flow(), Flow::default(), "paused until it is through");
        lanes.through(&place(0));
        assert_eq!(lanes.flow().resume, [place(0)]);
        assert_eq!(started(&mut lanes, later), [(0, 2)]);
    }

    #[test]
    fn delays_grow_to_the_longest() {
        assert_eq!(delay_after(0), FIRST_DELAY);
        assert_eq!(delay_after(1), FIRST_DELAY * 2);
        assert_eq!(delay_after(u32::MAX), LONGEST_DELAY);
    }

    #[test]
    fn a_full_lane_pauses_until_it_is_half_empty() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for offset in 0..1001 {
            lanes.push(message(0, offset));
        }
        assert_eq!(lanes.flow().pause, [place(0)]);
        let mut handled = 0;
        while lanes.flow().resume.is_empty() {
            lanes.start(now);
            lanes.through(&place(0));
            handled += 1;
        }
        assert_eq!(handled, 502);
    }

    #[test]
    fn large_messages_fill_a_lane_sooner() {
        let mut lanes = Lanes::default();
        for offset in 0..5 {
            lanes.push(Message { value: Some(vec![0; 1 << 20]), ..message(0, offset) });
        }
        assert_eq!(lanes.flow().pause, [place(0)]);
    }

    #[test]
    fn a_closing_lane_ends_what_it_has_begun_and_nothing_else() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.push(message(0, 1));
        lanes.push(message(0, 2));
        lanes.start(now);
        lanes.close(&[place(0)]);
        assert!(!lanes.is_quiet(&[place(0)]));
        lanes.push(message(0, 3));
        lanes.through(&place(0));
        assert!(lanes.is_quiet(&[place(0)]));
        assert_eq!(started(&mut lanes, now), []);
        lanes.remove(&[place(0)]);
        lanes.push(message(0, 2));
        assert_eq!(started(&mut lanes, now), [(0, 2)]);
    }
}
