//! Records that come again, as after a consumer's crash or a relay's.

use std::time::Duration;

use anyhow::Result;
use outboxd_tests::topic::{Cluster, Record, Topic};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

/// Sends each of them once more, as it was, to the partition it came from.
pub(crate) async fn all(cluster: &Cluster, topic: &Topic, records: &[Record]) -> Result<()> {
    let producer: FutureProducer = cluster.config().create()?;
    for record in records {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let key = record.key.clone().unwrap_or_default();
        let value = record.value.clone().unwrap_or_default();
        let again = FutureRecord::to(topic.name())
            .partition(record.partition)
            .key(&key)
            .payload(&value)
            .headers(headers);
        producer.send(again, PATIENCE).await.map_err(|(error, _)| error)?;
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(30);
