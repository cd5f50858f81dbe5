//! How often each row of a [`bulk`](crate::bulk) was published, counted while reading, so that a
//! million records need no room.

use anyhow::{Context, Result, bail, ensure};
use outboxd_tests::patience::DEADLINE;
use outboxd_tests::topic::{Cluster, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::bulk::{self, KEYS};

#[derive(Debug)]
pub(crate) struct Tally {
    /// By number; row 0 does not exist.
    times: Vec<u32>,
    /// The newest number of each key that was seen for the first time.
    newest: Vec<u64>,
    disordered: Vec<u64>,
    unknown: Vec<u64>,
}

impl Tally {
    /// Of everything in the topic now, where rows 1 to `rows` were written.
    pub(crate) async fn of(cluster: &Cluster, topic: &Topic, rows: u64) -> Result<Self> {
        Self::read_at(cluster, topic, rows, "read_uncommitted").await
    }

    /// Of what is committed.
    pub(crate) async fn of_committed(cluster: &Cluster, topic: &Topic, rows: u64) -> Result<Self> {
        Self::read_at(cluster, topic, rows, "read_committed").await
    }

    async fn read_at(cluster: &Cluster, topic: &Topic, rows: u64, isolation: &str) -> Result<Self> {
        let consumer = consumer(cluster, topic, isolation)?;
        let partitions = topic.partitions();
        spawn_blocking(move || Self::read(&consumer, partitions, rows)).await?
    }

    /// Every row at least once, each key in order, nothing else.
    pub(crate) fn expect_complete(&self) -> Result<()> {
        let missing = self.times.iter().skip(1).filter(|&&times| times == 0).count();
        ensure!(missing == 0, "{missing} rows were lost");
        ensure!(self.disordered.is_empty(), "out of order: {:?}", first_few(&self.disordered));
        ensure!(self.unknown.is_empty(), "never committed: {:?}", first_few(&self.unknown));
        Ok(())
    }

    /// How many rows are there at all.
    pub(crate) fn seen(&self) -> u64 {
        self.times.iter().filter(|&&times| times > 0).count() as u64
    }

    /// Of each run of so many rows either all are there or none.
    pub(crate) fn expect_whole(&self, rows: usize) -> Result<()> {
        for (number, times) in self.times[1..].chunks(rows).enumerate() {
            let seen = times.iter().filter(|&&times| times > 0).count();
            ensure!(seen == 0 || seen == times.len(), "{seen} rows of transaction {number}");
        }
        Ok(())
    }

    /// Records beyond the first of their row.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats_from(0)
    }

    /// The same of rows from this number on.
    pub(crate) fn repeats_from(&self, number: u64) -> u64 {
        let times = self.times.iter().skip(usize::try_from(number).unwrap_or(usize::MAX));
        times.map(|&times| u64::from(times.saturating_sub(1))).sum()
    }

    fn read(consumer: &BaseConsumer, partitions: i32, rows: u64) -> Result<Self> {
        let mut tally = Self {
            times: vec![0; usize::try_from(rows)? + 1],
            newest: vec![0; usize::try_from(KEYS)?],
            disordered: Vec::new(),
            unknown: Vec::new(),
        };
        let mut open = partitions;
        let deadline = Instant::now() + DEADLINE;
        while open > 0 {
            ensure!(Instant::now() < deadline, "{open} partitions have no end");
            match consumer.poll(DEADLINE) {
                Some(Ok(message)) => tally.count(message.payload().context("no value")?)?,
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => return Err(error).context("consume"),
                None => bail!("no answer from Kafka"),
            }
        }
        Ok(tally)
    }

    fn count(&mut self, value: &[u8]) -> Result<()> {
        let number = bulk::number(value)?;
        let times = usize::try_from(number).ok().filter(|&index| index > 0);
        let Some(times) = times.and_then(|index| self.times.get_mut(index)) else {
            self.unknown.push(number);
            return Ok(());
        };
        *times += 1;
        let newest = &mut self.newest[usize::try_from(number % KEYS)?];
        if *times == 1 && number < *newest {
            self.disordered.push(number);
        }
        *newest = number.max(*newest);
        Ok(())
    }
}

fn consumer(cluster: &Cluster, topic: &Topic, isolation: &str) -> Result<BaseConsumer> {
    let mut config = cluster.config();
    config
        .set("group.id", "outboxd-tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation);
    let consumer: BaseConsumer = config.create()?;
    let mut start = TopicPartitionList::new();
    for partition in 0..topic.partitions() {
        start.add_partition_offset(topic.name(), partition, Offset::Beginning)?;
    }
    consumer.assign(&start)?;
    Ok(consumer)
}

fn first_few(numbers: &[u64]) -> &[u64] {
    &numbers[..numbers.len().min(5)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[u64]) -> Tally {
        let newest = vec![0; KEYS as usize];
        let (disordered, unknown) = (Vec::new(), Vec::new());
        let mut tally = Tally { times: vec![0; 201], newest, disordered, unknown };
        for number in numbers {
            let value = format!(r#"{{"n": {number}, "pad": "x"}}"#);
            tally.count(value.as_bytes()).expect("a numbered value");
        }
        tally
    }

    #[test]
    fn planted_faults_are_found() {
        let all: Vec<u64> = (1..=200).collect();
        assert!(tally(&all).expect_complete().is_ok());
        assert_eq!(tally(&all).repeats(), 0);
        assert!(tally(&all[1..]).expect_complete().is_err(), "one is missing");
        let repeated = tally(&[&all[..], &[150, 151]].concat());
        assert!(repeated.expect_complete().is_ok(), "a repetition is not disorder");
        assert_eq!((repeated.repeats(), repeated.repeats_from(151)), (2, 1));
        assert!(tally(&[&all[..], &[201]].concat()).expect_complete().is_err(), "a phantom");
        let mut swapped = all;
        swapped.swap(4, 4 + KEYS as usize);
        assert!(tally(&swapped).expect_complete().is_err(), "two of one key changed places");
    }
}
