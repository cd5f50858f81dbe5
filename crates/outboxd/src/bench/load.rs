//! Events at a steady pace, each a transaction or a record of its own.

use std::time::Duration;

use anyhow::Context;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::{Instant, sleep_until};
use tokio_postgres::{Client, Statement};

use super::broker::client;
use super::server::{self, Server, Transport};
use super::stamps::Stamps;
use super::topic::Topic;

/// How many events a second, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rate: u32,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

impl Pace {
    /// Events that are not counted.
    pub(crate) fn warm_up_events(self) -> usize {
        self.events_in(self.warm_up)
    }

    pub(crate) fn events(self) -> usize {
        self.events_in(self.warm_up + self.time)
    }

    fn events_in(self, time: Duration) -> usize {
        (time.as_secs_f64() * f64::from(self.rate)).round() as usize
    }

    fn due(self, index: usize) -> Duration {
        Duration::from_secs_f64(index as f64 / f64::from(self.rate))
    }
}

/// Who writes: several of them, so that one slow answer does not hold up the pace.
pub(crate) enum Lane {
    /// One row, committed by the same statement.
    Insert(Client, Statement),
    Produce(FutureProducer, Topic),
}

impl Lane {
    pub(crate) async fn inserting(server: &Server) -> anyhow::Result<Self> {
        let client = server::connect(&server.url(Transport::Tcp)?).await?;
        let statement = client.prepare(INSERT).await?;
        Ok(Self::Insert(client, statement))
    }

    /// It waits for nothing to fill a batch with.
    pub(crate) fn producing(topic: &Topic) -> anyhow::Result<Self> {
        let producer = client(&topic.bootstrap)
            .set("acks", "all")
            .set("linger.ms", "0")
            .create()
            .context("no Kafka producer")?;
        Ok(Self::Produce(producer, topic.clone()))
    }

    /// Writes the row of this number.
    pub(crate) async fn insert(&self, number: u64) -> anyhow::Result<()> {
        self.write(&Row::of(number)).await
    }

    /// Returns when it is committed, or acknowledged.
    async fn write(&self, row: &Row) -> anyhow::Result<()> {
        match self {
            Self::Insert(client, statement) => {
                client.execute(statement, &[&row.id, &row.key, &row.payload]).await?;
            }
            Self::Produce(producer, topic) => {
                let record = FutureRecord::to(&topic.name).key(&row.key).payload(&row.payload);
                producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
            }
        }
        Ok(())
    }
}

/// Sends lane `index` of `lanes` its share of the events, each when it is due.
pub(crate) async fn drive(
    lane: &Lane,
    index: usize,
    lanes: usize,
    pace: Pace,
    begin: Instant,
    stamps: &Stamps,
) -> anyhow::Result<()> {
    for event in (index..pace.events()).step_by(lanes) {
        let row = Row::of(stamps.number(event));
        sleep_until(begin + pace.due(event)).await;
        stamps.sent(event);
        lane.write(&row).await?;
        stamps.acked(event);
    }
    Ok(())
}

/// Of the same shape as those of a backlog.
struct Row {
    id: String,
    key: String,
    payload: String,
}

impl Row {
    fn of(seq: u64) -> Self {
        let id = format!("{:08x}-0000-4000-8000-{seq:012x}", seq.wrapping_mul(SPREAD) as u32);
        let key = format!("customer-{:04}", seq.wrapping_mul(7919) % 10_000);
        let note = "x".repeat(72);
        let payload = format!(
            "{{\"id\": \"{id}\", \"key\": \"{key}\", \"seq\": {seq}, \"kind\": \"OrderPlaced\", \
             \"note\": \"{note}\", \"total\": {}.25, \
             \"street\": \"12 Some Quiet Lane, 34567 Anytown\", \"currency\": \"EUR\"}}",
            seq % 1000
        );
        Self { id, key, payload }
    }
}

const INSERT: &str = "insert into outbox (id, aggregatetype, aggregateid, type, payload) \
                      values ($1::text::uuid, 'order', $2::text, 'OrderPlaced', $3::text::jsonb)";
/// Odd, so that different numbers give different ids.
const SPREAD: u64 = 0x9E37_79B1;

#[cfg(test)]
mod tests {
    use super::super::verify::Payload;
    use super::*;

    #[test]
    fn events_are_due_evenly_through_warm_up_and_measurement() {
        let (warm_up, time) = (Duration::from_secs(2), Duration::from_secs(3));
        let pace = Pace { rate: 100, warm_up, time };
        assert_eq!((pace.warm_up_events(), pace.events()), (200, 500));
        assert_eq!(pace.due(0), Duration::ZERO);
        assert_eq!(pace.due(250), Duration::from_millis(2500));
    }

    #[test]
    fn rows_say_their_number_and_have_the_size_of_a_backlogs() {
        let row = Row::of(123_456);
        let payload: Payload<'_> = serde_json::from_str(&row.payload).unwrap();
        assert_eq!(payload.seq, 123_456);
        assert_eq!(row.id.len(), 36);
        assert!((260..290).contains(&row.payload.len()), "{}", row.payload.len());
    }
}
