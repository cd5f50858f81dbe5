use outboxd_core::record::Token;

use super::*;
use crate::sink::RefusalCause;
use crate::sink::testing::record;

fn reports(sink: &mut MemorySink) -> Vec<String> {
    std::iter::from_fn(|| sink.next_report()).map(|report| format!("{report:?}")).collect()
}

#[tokio::test]
async fn acknowledges_at_once_unless_held() {
    let broker = MemoryBroker::new();
    let mut sink = MemorySink::new(broker.clone());
    sink.produce(&record(1, "orders")).expect("taken");
    sink.reports_ready().await;
    assert_eq!(reports(&mut sink), ["Acked(Token(1))"]);

    sink.producer().hold();
    sink.produce(&record(2, "orders")).expect("taken");
    sink.produce(&record(3, "orders")).expect("taken");
    assert!(sink.next_report().is_none());
    assert_eq!(broker.records().len(), 1);
    sink.producer().ack(Token(3));
    sink.producer().release();
    assert_eq!(reports(&mut sink), ["Acked(Token(3))", "Acked(Token(2))"]);
    assert_eq!(broker.records().len(), 3);
}

#[test]
fn a_dead_producer_loses_what_is_in_flight_and_takes_nothing() {
    let broker = MemoryBroker::new();
    let mut sink = MemorySink::new(broker.clone());
    let producer = sink.producer();
    producer.hold();
    sink.produce(&record(1, "orders")).expect("taken");
    sink.produce(&record(2, "orders")).expect("taken");
    sink.append_progress(b"1", Some(b"x")).expect("taken");
    producer.refuse(Token(1), RefusalCause::TooLarge);
    producer.fail("gap");
    assert!(sink.produce(&record(3, "orders")).is_err());

    let seen = reports(&mut sink);
    let expected = ["TooLarge", "Fatal", "ProducerLost", "ProgressRefused"];
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    assert!(seen.iter().zip(expected).all(|(seen, part)| seen.contains(part)), "{seen:?}");
    assert!(broker.records().is_empty());

    sink.replace_producer().expect("always possible");
    producer.release();
    sink.produce(&record(3, "orders")).expect("taken");
    assert_eq!(reports(&mut sink), ["Acked(Token(3))"]);
}

#[tokio::test]
async fn two_sinks_see_each_others_progress() {
    let broker = MemoryBroker::new();
    let mut first = MemorySink::new(broker.clone());
    let mut second = MemorySink::new(broker.clone());
    first.append_progress(b"1", Some(b"a")).expect("taken");
    second.append_progress(b"2", Some(b"b")).expect("taken");
    first.append_progress(b"1", None).expect("taken");
    let offset = |offset| format!("ProgressAcked {{ offset: Some({offset}) }}");
    assert_eq!(reports(&mut first), [offset(0), offset(2)]);
    assert_eq!(reports(&mut second), [offset(1)]);

    let read = first.read_progress(Extent::Written).await.expect("readable");
    let entries: Vec<_> =
        read.records.iter().map(|entry| (entry.offset, entry.value.as_deref())).collect();
    assert_eq!(entries, [(1, Some(b"b".as_slice())), (2, None)]);
    assert_eq!(read.high_watermark, 3);

    broker.delete_progress();
    assert!(!second.read_progress(Extent::Written).await.expect("readable").exists);
    broker.set_progress_unreadable(Some("away"));
    assert!(second.read_progress(Extent::Written).await.is_err());
}

#[tokio::test]
async fn topics_are_what_the_test_says() {
    let broker = MemoryBroker::new();
    let sink = MemorySink::new(broker.clone());
    assert_eq!(sink.describe_topic("orders".to_owned()).await, Err(TopicError::Unknown));
    broker.create_topic("orders", 8);
    let described = sink.describe_topic("orders".to_owned()).await.expect("known");
    assert_eq!(described.partitions, 8);
}
