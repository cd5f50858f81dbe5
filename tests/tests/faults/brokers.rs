//! Brokers killed under load: nothing lost, nothing repeated, order kept.

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::Brokers;
use outboxd_tests::patience::{DEADLINE, eventually};
use outboxd_tests::rounds::Rounds;
use outboxd_tests::workload::Workload;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::mode::Mode;
use crate::stage::{Stage, grown};

#[tokio::test(flavor = "multi_thread")]
async fn the_only_broker_killed_under_load() -> Result<()> {
    let mut rounds = Rounds::of(3);
    while !rounds.are_over() {
        kill(Brokers::One, Mode::AtLeastOnce, Victim::LeaderOf(0), &mut rounds).await?;
    }
    rounds.passed("the only broker killed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_killed_under_load() -> Result<()> {
    three(Mode::AtLeastOnce, Victim::LeaderOf(0), 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_killed_under_load_exactly_once() -> Result<()> {
    three(Mode::ExactlyOnce, Victim::LeaderOf(0), 2).await
}

/// Transactions are committed without a pause, so that some commit is on its way each time.
#[tokio::test(flavor = "multi_thread")]
async fn coordinators_killed_under_load() -> Result<()> {
    three(Mode::ExactlyOnce, Victim::Coordinator, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_restarted_in_turn() -> Result<()> {
    let mut stage = Stage::new(Brokers::Three).await?;
    let relay = stage.relay().start().await?;
    let writers = stage.load().await?;
    for broker in 1..=stage.kafka.brokers() {
        grown(&stage.topic, 300).await?;
        stage.kafka.stop_broker(broker).await?;
        grown(&stage.topic, 300).await?;
        stage.kafka.start_broker_again(broker).await?;
    }
    grown(&stage.topic, 300).await?;
    writers.stop().await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()
}

/// A broker takes any first sequence number of a producer that it does not know: with two batches
/// of one partition on their way, the first refused and the second not, their order would be lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_producer_waits_for_replicas_and_keeps_the_order() -> Result<()> {
    let mut stage = Stage::new(Brokers::Three).await?;
    let command = stage.relay().set("source.release_after", "3s");
    command.start().await?.terminate().await?;
    let all = [("min.insync.replicas", "3")];
    stage.cluster().alter_topic(stage.topic.name(), &all).await?;
    stage.kafka.kill_broker(3).await?;
    eventually("two replicas in sync", || async {
        Ok(in_sync_max(&stage)?.filter(|&count| count == 2).map(drop))
    })
    .await?;
    let one_key = Workload { keys: 1, transactions: Some(300), ..Workload::endless(stage.kind()) };
    one_key.run(&stage.database).await?;
    let relay = command.start().await?;
    relay.wait_event("slot.released").await?;
    ensure!(stage.topic.len().await? == 0, "written though there are too few replicas");
    stage.kafka.start_broker_again(3).await?;
    stage.conclude(Mode::AtLeastOnce, relay).await?.expect_perfect()
}

/// Which broker is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// Of this partition of the topic at first, of the next one then.
    LeaderOf(i32),
    /// That of the relay's transactions.
    Coordinator,
}

async fn three(mode: Mode, victim: Victim, default: u64) -> Result<()> {
    let mut rounds = Rounds::of(default);
    while !rounds.are_over() {
        kill(Brokers::Three, mode, victim, &mut rounds).await?;
    }
    rounds.passed(&format!("{victim:?} of three killed, {mode:?}"));
    Ok(())
}

/// Several rounds under one relay.
async fn kill(brokers: Brokers, mode: Mode, mut victim: Victim, rounds: &mut Rounds) -> Result<()> {
    let mut stage = Stage::new(brokers).await?;
    let relay = mode.on(stage.relay()).start().await?;
    let writers = stage.load().await?;
    for _ in rounds.take(KILLS_OF_ONE_RELAY) {
        grown(&stage.topic, 300).await?;
        let broker = victim.find(&stage)?;
        stage.kafka.kill_broker(broker).await?;
        if brokers == Brokers::Three {
            grown(&stage.topic, 300).await?;
        }
        stage.kafka.start_broker_again(broker).await?;
        victim = victim.next(stage.topic.partitions());
    }
    grown(&stage.topic, 300).await?;
    writers.stop().await?;
    stage.conclude(mode, relay).await?.expect_perfect()
}

impl Victim {
    fn find(self, stage: &Stage) -> Result<usize> {
        match self {
            Self::LeaderOf(partition) => leader(stage, stage.topic.name(), partition),
            Self::Coordinator => {
                let id = format!("outboxd.{}", stage.database.slot());
                leader(stage, "__transaction_state", java_hash(&id) % TRANSACTION_PARTITIONS)
            }
        }
    }

    fn next(self, partitions: i32) -> Self {
        match self {
            Self::LeaderOf(partition) => Self::LeaderOf((partition + 1) % partitions),
            Self::Coordinator => Self::Coordinator,
        }
    }
}

/// The broker that leads a partition now.
pub(crate) fn leader(stage: &Stage, topic: &str, partition: i32) -> Result<usize> {
    let consumer: BaseConsumer = stage.cluster().config().create()?;
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
    let topic = metadata.topics().first().context("no such topic")?;
    let found = topic.partitions().iter().find(|it| it.id() == partition);
    usize::try_from(found.context("no such partition")?.leader()).context("no leader")
}

/// The most replicas in sync that any partition has; `None` while nobody can tell.
fn in_sync_max(stage: &Stage) -> Result<Option<usize>> {
    let consumer: BaseConsumer = stage.cluster().config().create()?;
    let Ok(metadata) = consumer.fetch_metadata(Some(stage.topic.name()), DEADLINE) else {
        return Ok(None);
    };
    let topic = metadata.topics().first().context("no such topic")?;
    Ok(topic.partitions().iter().map(|partition| partition.isr().len()).max())
}

/// The size of Java's `String.hashCode`: it tells which partition keeps a transactional id.
fn java_hash(text: &str) -> i32 {
    let step = |hash: i32, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte));
    text.bytes().fold(0, step).checked_abs().unwrap_or(0)
}

/// So that what has to be compared at the end stays small.
const KILLS_OF_ONE_RELAY: usize = 5;
/// As the sandbox sets it.
const TRANSACTION_PARTITIONS: i32 = 3;

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(super::java_hash("hello"), 99_162_322);
        assert_eq!(super::java_hash("String"), 1_808_118_735, "negative in Java");
    }
}
