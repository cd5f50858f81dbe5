//! Against librdkafka's own mock cluster: enough for the order of reports, records as they arrive,
//! and injected errors. It checks no limits and keeps no transactions.

use std::sync::Arc;
use std::time::Duration;

use outboxd_core::record::{HeaderBuffer, Record, Token};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::timeout;

use super::*;
use crate::sink::testing::record;
use crate::sink::{
    ProgressEntry, ProgressTopicError, RefusalCause, check_progress_topic, ensure_progress_topic,
    reach,
};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PROGRESS_TOPIC: &str = "outboxd.progress.test";
const DEADLINE: Duration = Duration::from_secs(30);

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("orders", 4, 1).expect("a topic");
    cluster.create_topic(PROGRESS_TOPIC, 1, 1).expect("a topic");
    cluster
}

fn sink(cluster: &Cluster) -> KafkaSink {
    let settings = KafkaSettings::plaintext(cluster.bootstrap_servers());
    KafkaSink::start(settings, PROGRESS_TOPIC.to_owned(), 1_000, None).expect("a sink")
}

async fn report(sink: &mut KafkaSink) -> Report {
    let wait = async {
        loop {
            match sink.next_report() {
                Some(report) => return report,
                None => sink.reports_ready().await,
            }
        }
    };
    timeout(DEADLINE, wait).await.expect("a report in time")
}

async fn acks(sink: &mut KafkaSink, count: u64) -> Vec<Token> {
    let mut tokens = Vec::new();
    for _ in 0..count {
        match report(sink).await {
            Report::Acked(token) => tokens.push(token),
            other => panic!("expected an acknowledgement, not {other:?}"),
        }
    }
    tokens
}

fn consume(cluster: &Cluster, topic: &str, partition: i32, count: usize) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "reader")
        .create()
        .expect("a consumer");
    let mut start = TopicPartitionList::new();
    start.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    consumer.assign(&start).expect("assigned");
    let message =
        || consumer.poll(DEADLINE).expect("a message in time").expect("no error").detach();
    (0..count).map(|_| message()).collect()
}

#[tokio::test]
async fn a_record_arrives_as_it_was_handed_over() {
    let (cluster, mut buffer) = (cluster(), HeaderBuffer::default());
    let mut sink = sink(&cluster);
    buffer.push("id", b"e-1");
    buffer.push("type", b"OrderPlaced");
    buffer.push("empty", b"");
    let full = Record { partition: 2, headers: buffer.as_headers(), ..record(0, "orders") };
    let tombstone = Record { partition: 2, value: None, ..record(1, "orders") };
    let keyless = Record { partition: 2, key: None, value: Some(b""), ..record(2, "orders") };
    for record in [full, tombstone, keyless] {
        sink.produce(&record).expect("taken");
    }
    assert_eq!(acks(&mut sink, 3).await, [Token(0), Token(1), Token(2)]);

    let messages = consume(&cluster, "orders", 2, 3);
    let [full, tombstone, keyless] = messages.as_slice() else { panic!("three messages") };
    assert_eq!((full.key(), full.payload()), (Some(b"key".as_slice()), Some(b"value".as_slice())));
    assert_eq!(full.timestamp().to_millis(), Some(1_700_000_000_000));
    let headers: Vec<_> = full.headers().expect("headers").iter().collect();
    let pairs: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
    let expected: [(&str, Option<&[u8]>); 3] =
        [("id", Some(b"e-1")), ("type", Some(b"OrderPlaced")), ("empty", Some(b""))];
    assert_eq!(pairs, expected);
    assert_eq!((tombstone.key(), tombstone.payload()), (Some(b"key".as_slice()), None));
    assert_eq!((keyless.key(), keyless.payload()), (None, Some(b"".as_slice())));
}

#[tokio::test]
async fn a_record_of_1970_keeps_its_time_and_an_older_one_is_not_taken() {
    let cluster = cluster();
    let mut sink = sink(&cluster);
    sink.produce(&Record { timestamp_ms: 0, ..record(0, "orders") }).expect("taken");
    acks(&mut sink, 1).await;
    assert_eq!(consume(&cluster, "orders", 0, 1)[0].timestamp().to_millis(), Some(1));
    let refused = sink.produce(&Record { timestamp_ms: -1, ..record(1, "orders") });
    assert_eq!(refused.map_err(|error| error.cause), Err(RefusalCause::InvalidTimestamp));
}

#[tokio::test]
async fn progress_is_acknowledged_with_its_offset_and_read_back_compacted() {
    let cluster = cluster();
    let mut sink = sink(&cluster);
    let empty = sink.read_progress(Extent::Written).await.expect("readable");
    assert!(empty.exists && empty.records.is_empty());
    for (offset, (key, value)) in
        [("1", Some("a")), ("1", Some("b")), ("2", Some("c")), ("1", None)].into_iter().enumerate()
    {
        sink.append_progress(key.as_bytes(), value.map(str::as_bytes)).expect("taken");
        let acked = report(&mut sink).await;
        let offset = i64::try_from(offset).ok();
        assert!(
            matches!(acked, Report::ProgressAcked { offset: seen } if seen == offset),
            "{acked:?}"
        );
    }
    let read = sink.read_progress(Extent::Written).await.expect("readable");
    let entry = |offset, key: &[u8], value: Option<&[u8]>| ProgressEntry {
        offset,
        key: key.to_vec(),
        value: value.map(<[u8]>::to_vec),
    };
    assert_eq!(read.records, [entry(2, b"2", Some(b"c")), entry(3, b"1", None)]);
    assert_eq!(read.high_watermark, 4);
}

#[tokio::test]
async fn committed_progress_is_read_to_the_end_too() {
    let cluster = cluster();
    let mut sink = sink(&cluster);
    sink.append_progress(b"1", Some(b"a")).expect("taken");
    report(&mut sink).await;
    let settings = KafkaSettings::plaintext(cluster.bootstrap_servers());
    let topic = PROGRESS_TOPIC.to_owned();
    let log = ClientLog::default();
    let reader = Arc::new(ProgressReader::new(settings, topic, log));
    // The second time with clients that are connected, the third time without.
    for _ in 0..2 {
        let read = Arc::clone(&reader).read(Extent::Written).await.expect("readable");
        assert_eq!((read.records.len(), read.high_watermark), (1, 1));
    }
    reader.cool_down();
    assert_eq!(reader.read(Extent::Readable).await.expect("readable").high_watermark, 1);
}

#[tokio::test]
async fn a_missing_progress_topic_does_not_exist_and_is_not_created() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    let sink = sink(&cluster);
    for _ in 0..2 {
        assert!(!sink.read_progress(Extent::Written).await.expect("readable").exists);
    }
}

#[tokio::test]
async fn topics_are_described_and_none_is_created_by_asking() {
    let cluster = cluster();
    let sink = sink(&cluster);
    let described = sink.describe_topic("orders".to_owned()).await.expect("known");
    assert_eq!((described.partitions, described.max_message_bytes), (4, None));
    for _ in 0..2 {
        let unknown = sink.describe_topic("missing".to_owned()).await;
        assert_eq!(unknown, Err(TopicError::Unknown));
    }
    assert_eq!(sink.describe_topic("a b".to_owned()).await, Err(TopicError::InvalidName));
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.topic_error("orders", denied).expect("injected");
    assert_eq!(sink.describe_topic("orders".to_owned()).await, Err(TopicError::Unauthorized));
}

#[tokio::test]
async fn a_refused_record_kills_the_producer_and_a_new_one_delivers() {
    let (cluster, mut buffer) = (cluster(), HeaderBuffer::default());
    let mut sink = sink(&cluster);
    sink.produce(&record(0, "orders")).expect("taken");
    acks(&mut sink, 1).await;

    buffer.push("type", b"OrderPlaced");
    buffer.push("id", b"e-1");
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large]);
    sink.produce(&Record { headers: buffer.as_headers(), ..record(1, "orders") }).expect("taken");
    let mut seen = vec![report(&mut sink).await, report(&mut sink).await];
    seen.sort_by_key(|report| matches!(report, Report::Fatal { .. }));
    let [Report::Refused(refusal), Report::Fatal { .. }] = seen.as_slice() else {
        panic!("expected a refusal and the end of the producer, not {seen:?}")
    };
    assert_eq!((refusal.token, refusal.cause), (Token(1), RefusalCause::TooLarge));
    assert_eq!(refusal.event_id.as_deref(), Some("e-1"));
    assert_eq!(
        (refusal.topic.as_str(), refusal.key.as_deref()),
        ("orders", Some(b"key".as_slice()))
    );

    let rejected = sink.produce(&record(2, "orders")).map_err(|error| error.cause);
    assert_eq!(rejected, Err(RefusalCause::ProducerLost { possibly_persisted: false }));

    sink.replace_producer().expect("a new producer");
    sink.produce(&record(2, "orders")).expect("taken");
    assert_eq!(acks(&mut sink, 1).await, [Token(2)]);
    assert_eq!(consume(&cluster, "orders", 0, 2).len(), 2);
}

#[tokio::test]
async fn a_dead_producer_reports_each_record_once() {
    const RECORDS: u64 = 500;
    let cluster = cluster();
    let mut sink = sink(&cluster);
    sink.produce(&record(0, "orders")).expect("taken");
    acks(&mut sink, 1).await;
    // The broker answers late, so that many records wait behind the one it refuses.
    cluster.broker_round_trip_time(-1, Duration::from_millis(200)).expect("slowed down");
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.request_errors(RDKafkaApiKey::Produce, &[too_large]);
    for token in 1..=RECORDS {
        sink.produce(&record(token, "orders")).expect("taken");
    }
    let (mut tokens, mut fatal, mut too_large) = (Vec::new(), 0, 0);
    while tokens.len() < usize::try_from(RECORDS).expect("small") || fatal == 0 {
        match report(&mut sink).await {
            Report::Acked(token) => tokens.push(token.0),
            Report::Refused(refusal) => {
                too_large += u64::from(refusal.cause == RefusalCause::TooLarge);
                tokens.push(refusal.token.0);
            }
            Report::Fatal { .. } => fatal += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq(1..=RECORDS));
    assert_eq!(fatal, 1);
    assert!(too_large > 0);
    assert!(sink.next_report().is_none());
}

#[tokio::test]
async fn records_wait_for_a_broker_that_is_away() {
    let cluster = cluster();
    let mut sink = sink(&cluster);
    cluster.broker_down(-1).expect("down");
    for token in 0..10 {
        sink.produce(&record(token, "orders")).expect("taken");
    }
    cluster.broker_up(-1).expect("up");
    let expected: Vec<_> = (0..10).map(Token).collect();
    assert_eq!(acks(&mut sink, 10).await, expected);
    assert_eq!(consume(&cluster, "orders", 0, 10).len(), 10);
}

#[tokio::test]
async fn dropping_a_sink_with_records_in_flight_ends() {
    let cluster = cluster();
    let mut sink = sink(&cluster);
    cluster.broker_down(-1).expect("down");
    (0..1_000).for_each(|token| sink.produce(&record(token, "orders")).expect("taken"));
    drop(sink);
}

#[tokio::test]
#[should_panic(expected = "more in flight than the sink was built for")]
async fn the_window_may_not_exceed_what_was_promised() {
    let settings = KafkaSettings::plaintext("127.0.0.1:1");
    let mut sink = KafkaSink::start(settings, PROGRESS_TOPIC.to_owned(), 2, None).expect("a sink");
    (0..4).for_each(|token| sink.produce(&record(token, "orders")).expect("taken"));
}

#[tokio::test]
async fn an_unreachable_broker_is_named() {
    let error = reach(&KafkaSettings::plaintext("127.0.0.1:1")).await;
    let message = error.expect_err("nothing listens there").to_string();
    assert!(message.contains("127.0.0.1:1"), "{message}");
    assert!(message.contains("onnection refused"), "{message}");
}

#[tokio::test]
async fn a_progress_topic_that_serves_is_left_alone_and_another_is_refused() {
    let cluster = cluster();
    let settings = KafkaSettings::plaintext(cluster.bootstrap_servers());
    let exists = ensure_progress_topic(&settings, PROGRESS_TOPIC, None).await;
    assert!(matches!(exists, Ok(false)), "{exists:?}");
    let missing = check_progress_topic(&settings, "outboxd.progress.new").await;
    assert!(matches!(missing, Err(ProgressTopicError::Missing)), "{missing:?}");
    let several = check_progress_topic(&settings, "orders").await;
    assert!(
        matches!(several, Err(ProgressTopicError::Partitions { partitions: 4 })),
        "{several:?}"
    );
}
