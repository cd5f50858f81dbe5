//! Records of `<topic>.dlt`: what was received, and why it was given up.
//!
//! Names and encodings of the headers are those that Spring made common: numbers are big-endian.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::message::{Header, Message};

pub(super) struct DeadLetters {
    producer: FutureProducer,
    group: String,
}

impl DeadLetters {
    pub(super) fn new(config: &ClientConfig, group: &str) -> KafkaResult<Self> {
        let mut config = config.clone();
        config.set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        Ok(Self { producer: config.create()?, group: group.to_owned() })
    }

    /// Ends when the brokers have it.
    pub(super) async fn send(&self, message: &Message, error: &str) -> Result<(), KafkaError> {
        let topic = format!("{}.dlt", message.topic);
        let all = headers(message, &self.group, error);
        let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(kafka_headers(&all));
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        let sent = self.producer.send(record, QUEUE_PATIENCE).await;
        sent.map(|_| ()).map_err(|(error, _)| error)
    }
}

fn kafka_headers(headers: &[Header]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |all, header| {
        all.insert(KafkaHeader { key: &header.name, value: header.value.as_ref() })
    })
}

/// The record's own, and where it came from.
fn headers(message: &Message, group: &str, error: &str) -> Vec<Header> {
    let mut headers = message.headers.clone();
    let mut add = |name: &str, value: Vec<u8>| {
        headers.push(Header { name: format!("kafka_dlt-{name}"), value: Some(value) });
    };
    add("original-topic", message.topic.clone().into_bytes());
    add("original-partition", message.partition.to_be_bytes().to_vec());
    add("original-offset", message.offset.to_be_bytes().to_vec());
    if let Some(timestamp) = message.timestamp_ms {
        add("original-timestamp", timestamp.to_be_bytes().to_vec());
    }
    add("original-consumer-group", group.as_bytes().to_vec());
    add("exception-message", error.as_bytes().to_vec());
    headers
}

const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_has_what_it_came_with_and_says_whence_and_why() {
        let id = Header { name: "id".to_owned(), value: Some(b"1".to_vec()) };
        let message = Message {
            topic: "t".to_owned(),
            partition: 3,
            offset: 258,
            headers: vec![id],
            ..Message::default()
        };
        let headers = headers(&message, "payments", "card declined");
        let pairs: Vec<_> = headers
            .iter()
            .map(|header| (header.name.as_str(), header.value.as_deref().unwrap_or_default()))
            .collect();
        let expected: [(&str, &[u8]); 6] = [
            ("id", b"1"),
            ("kafka_dlt-original-topic", b"t"),
            ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 1, 2]),
            ("kafka_dlt-original-consumer-group", b"payments"),
            ("kafka_dlt-exception-message", b"card declined"),
        ];
        assert_eq!(pairs, expected);
    }
}
