//! A broker in memory: topics of partitions, and groups that commit how far they are.
//!
//! Keys choose partitions as with the relay. A group has one member, and gets again what it did not
//! commit when it starts over: so a test makes the duplicates that a crash makes.

use std::collections::{BTreeMap, HashMap};

use outboxd_core::murmur2;

use crate::message::{Header, Message};

type Place = (String, i32);

/// Topics, and how far each group is.
#[derive(Debug, Clone)]
pub struct MemoryBroker {
    partitions: u32,
    records: BTreeMap<Place, Vec<Message>>,
    groups: HashMap<String, Group>,
}

/// Offsets of the next record to hand out, and of the next one after what is committed.
#[derive(Debug, Clone, Default)]
struct Group {
    next: BTreeMap<Place, usize>,
    committed: BTreeMap<Place, usize>,
}

impl MemoryBroker {
    /// Each topic has that many partitions; one at least.
    pub fn new(partitions: u32) -> Self {
        let partitions = partitions.max(1);
        Self { partitions, records: BTreeMap::new(), groups: HashMap::new() }
    }

    /// Appends a record and gives it its place.
    pub fn publish(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Vec<Header>,
    ) -> Message {
        let mut message = Message {
            topic: topic.to_owned(),
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers,
            ..Message::default()
        };
        let id = message.header("id").unwrap_or_default();
        message.partition = murmur2::partition(key, id, self.partitions);
        let log = self.records.entry((topic.to_owned(), message.partition)).or_default();
        message.offset = i64::try_from(log.len()).unwrap_or(i64::MAX);
        log.push(message.clone());
        message
    }

    /// The next record of a topic for a group, in the order of its partition.
    pub fn poll(&mut self, group: &str, topic: &str) -> Option<Message> {
        let group = self.groups.entry(group.to_owned()).or_default();
        let mut logs = self.records.iter().filter(|((name, _), _)| name == topic);
        logs.find_map(|(place, log)| {
            let next = group.next.entry(place.clone()).or_default();
            let message = log.get(*next)?;
            *next += 1;
            Some(message.clone())
        })
    }

    /// The group does not need this record again, nor those before it in its partition.
    pub fn commit(&mut self, group: &str, message: &Message) {
        let group = self.groups.entry(group.to_owned()).or_default();
        let place = (message.topic.clone(), message.partition);
        let after = usize::try_from(message.offset).map_or(0, |offset| offset + 1);
        group.committed.insert(place, after);
    }

    /// The group's member has died and another takes over: what was not committed comes again.
    pub fn restart(&mut self, group: &str) {
        let group = self.groups.entry(group.to_owned()).or_default();
        group.next = group.committed.clone();
    }

    /// All records of a topic, partition after partition.
    pub fn records(&self, topic: &str) -> Vec<&Message> {
        let logs = self.records.iter().filter(|((name, _), _)| name == topic);
        logs.flat_map(|(_, log)| log).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(broker: &mut MemoryBroker, key: &str, value: &str) -> Message {
        broker.publish("orders", Some(key.as_bytes()), Some(value.as_bytes()), Vec::new())
    }

    fn values(broker: &mut MemoryBroker, group: &str) -> Vec<String> {
        let next = || broker.poll(group, "orders");
        let all = std::iter::from_fn(next).filter_map(|message| message.value);
        all.map(|value| String::from_utf8(value).unwrap()).collect()
    }

    #[test]
    fn records_of_a_key_keep_their_order_and_each_group_gets_all() {
        let mut broker = MemoryBroker::new(3);
        let places: Vec<_> = ["1", "2", "3"].map(|value| publish(&mut broker, "a", value)).into();
        assert!(places.iter().all(|message| message.partition == places[0].partition));
        assert_eq!(places.iter().map(|message| message.offset).collect::<Vec<_>>(), [0, 1, 2]);
        for group in ["payments", "shipping"] {
            assert_eq!(values(&mut broker, group), ["1", "2", "3"]);
        }
        assert_eq!(broker.records("orders").len(), 3);
    }

    #[test]
    fn what_was_not_committed_comes_again() {
        let mut broker = MemoryBroker::new(1);
        for value in ["1", "2", "3"] {
            publish(&mut broker, "a", value);
        }
        let first = broker.poll("payments", "orders").unwrap();
        broker.commit("payments", &first);
        assert_eq!(values(&mut broker, "payments"), ["2", "3"]);
        broker.restart("payments");
        assert_eq!(values(&mut broker, "payments"), ["2", "3"]);
    }
}
