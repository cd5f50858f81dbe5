//! What a repair hands to Kafka, and when it gives up.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use outboxd_core::mapping::Mapped;
use outboxd_core::progress::Progress;
use outboxd_core::record::{Headers, Token};
use outboxd_core::stop::{Code, RecordErrorKind, Stop};
use outboxd_core::topic::TopicError;
use outboxd_core::topics::OnPartitionsChanged;
use outboxd_core::window::Limits;

use super::super::pass::Unpublished;
use super::Publisher;
use crate::sink::memory::{MemoryBroker, MemorySink};
use crate::sink::{Extent, RefusalCause, Sink};

const LIMITS: Limits = Limits { events: 2, bytes: 1_000_000, overhead: 0 };

fn publisher<'a>(
    sink: &'a mut MemorySink,
    counts: &[(&str, u32)],
    limits: Limits,
) -> Publisher<'a, MemorySink> {
    let counts = counts.iter().map(|&(topic, count)| (topic.to_owned(), count));
    Publisher::new(sink, counts.collect(), OnPartitionsChanged::Stop, limits)
}

fn event<'a>(id: &'a str, topic: &'a str, value: &'a [u8]) -> Mapped<'a> {
    Mapped {
        event_id: id,
        topic,
        partition_key: Some(b"k"),
        key: Some(b"k"),
        value: Some(value),
        headers: Headers::EMPTY,
        timestamp_ms: 1,
        dropped_headers: Vec::new(),
    }
}

fn stop(outcome: Result<(), Unpublished>) -> Stop {
    match outcome {
        Err(Unpublished::Stop(stop)) => stop,
        other => panic!("no stop but {other:?}"),
    }
}

#[tokio::test]
async fn no_more_is_in_flight_than_allowed() {
    for limits in [LIMITS, Limits { events: 100, bytes: 2_200, overhead: 0 }] {
        let broker = MemoryBroker::new();
        broker.create_topic("orders", 1);
        let mut sink = MemorySink::new(broker.clone());
        let producer = sink.producer();
        let mut publisher = publisher(&mut sink, &[], limits);
        let value = [b'v'; 1_000];
        // The partition takes one record at a time before it has acknowledged any.
        publisher.hand_over(&event("0", "orders", &value)).await.unwrap();
        publisher.drain().await.unwrap();
        producer.hold();
        for id in ["1", "2"] {
            publisher.hand_over(&event(id, "orders", &value)).await.unwrap();
        }
        let third = event("3", "orders", &value);
        assert!(publisher.hand_over(&third).now_or_never().is_none(), "{limits:?}");
        producer.ack(Token(1));
        publisher.hand_over(&third).now_or_never().expect("there is room").unwrap();
        assert!(publisher.drain().now_or_never().is_none(), "two are in flight");
        producer.release();
        publisher.drain().await.unwrap();
        assert_eq!(broker.records().len(), 4);
    }
}

#[tokio::test]
async fn a_position_is_recorded_behind_all_records_and_their_topics() {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 3);
    let mut sink = MemorySink::new(broker.clone());
    let producer = sink.producer();
    let progress = progress();
    let mut publisher = publisher(&mut sink, &[], LIMITS);
    producer.hold();
    publisher.hand_over(&event("1", "orders", b"v")).await.unwrap();
    assert!(publisher.record(&progress).now_or_never().is_none(), "a record is in flight");
    assert!(broker.read_progress().unwrap().records.is_empty());
    producer.release();
    publisher.record(&progress).await.unwrap();
    let recorded = sink.read_progress(Extent::Written).await.unwrap().recorded().unwrap();
    assert_eq!(recorded.progress, Some(progress));
    assert_eq!(recorded.topics, BTreeMap::from([("orders".to_owned(), 3)]));
}

#[tokio::test]
async fn what_cannot_be_placed_stops_the_repair() {
    let broker = MemoryBroker::new();
    broker.create_topic("grown", 6);
    broker.set_topic("secret", Err(TopicError::Unauthorized));
    let mut sink = MemorySink::new(broker.clone());
    let mut publisher = publisher(&mut sink, &[("grown", 3)], LIMITS);
    for (topic, code) in [
        ("grown", Code::PartitionsChanged),
        ("secret", Code::Record(RecordErrorKind::TopicUnauthorized)),
    ] {
        let stop = stop(publisher.hand_over(&event("1", topic, b"v")).await);
        assert_eq!(stop.code, code, "{topic}");
        assert!(stop.hint.is_some_and(|hint| hint.contains("slot repair")), "{topic}");
    }
    assert!(broker.records().is_empty());
}

#[tokio::test]
async fn a_record_that_kafka_gives_back_stops_the_repair() {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 1);
    let mut sink = MemorySink::new(broker);
    let producer = sink.producer();
    let mut publisher = publisher(&mut sink, &[], LIMITS);
    producer.hold();
    publisher.hand_over(&event("1", "orders", b"v")).await.unwrap();
    producer.refuse(Token(0), RefusalCause::TooLarge);
    let stop = publisher.drain().await.unwrap_err();
    assert_eq!(stop.code, Code::Record(RecordErrorKind::RecordTooLarge));
    producer.fail("out of order");
    let unrecorded = publisher.append(b"k", b"v").await.unwrap_err();
    assert!(matches!(unrecorded.code, Code::KafkaUnreachable | Code::Internal), "{unrecorded}");
}

fn progress() -> Progress {
    let json = serde_json::json!({
        "format": 1, "acquisition": 7, "epoch": 2, "system_id": "1", "timeline": 1,
        "database": "shop", "slot": "s", "end_lsn": "0/10", "partial": null,
        "last_event_lsn": "0/F", "parked_lsn": "0/F", "last_commit": null,
        "publication": "f", "unrecorded_events_max": 0, "written_at_ms": 5,
    });
    serde_json::from_value(json).unwrap()
}
