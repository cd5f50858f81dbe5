//! What one would write without an outbox: Kafka is called where the order is placed, and a call that
//! fails is logged.

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinSet;

use crate::demo::broker::client;
use crate::demo::event::{EVENT_TYPE, OrderCreated, key};
use crate::demo::names::Names;
use crate::demo::plan::Order;
use crate::demo::service::Part;

pub(super) struct Call {
    producer: FutureProducer,
    names: Names,
    calls: JoinSet<()>,
}

impl Call {
    pub(super) fn new(part: &Part) -> anyhow::Result<Self> {
        let mut client = client(&part.bootstrap);
        client.set("message.timeout.ms", CALL_LIMIT.as_millis().to_string());
        let (producer, names) = (client.create()?, part.names.clone());
        Ok(Self { producer, names, calls: JoinSet::new() })
    }

    /// Nobody waits for the answer: an order must not take seconds because Kafka is slow.
    pub(super) fn tell(&mut self, order: &Order) -> anyhow::Result<()> {
        let (producer, number) = (self.producer.clone(), order.number);
        let topic = self.names.topic(order.kind);
        let value = serde_json::to_string(&OrderCreated::of(order))?;
        self.calls.spawn(async move {
            let key = key(number);
            let headers =
                OwnedHeaders::new().insert(Header { key: "type", value: Some(EVENT_TYPE) });
            let record = FutureRecord::to(&topic).key(&key).payload(&value).headers(headers);
            if let Err((error, _)) = producer.send(record, CALL_LIMIT).await {
                tracing::warn!(%error, order = number, "Kafka was not told");
            }
        });
        Ok(())
    }

    pub(super) async fn finish(mut self) {
        while self.calls.join_next().await.is_some() {}
    }
}

/// After which a call has failed.
const CALL_LIMIT: Duration = Duration::from_secs(3);
