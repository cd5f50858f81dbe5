//! From an event to a Kafka record: topic, key, partition, headers, timestamp.
