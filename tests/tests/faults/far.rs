//! The way to Kafka: a broker out of reach, a slow one, answers that come late or never. The relay
//! reaches each broker through a proxy, and the test looks past it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outboxd_core::lsn::Lsn;
use outboxd_sandbox::{Brokers, KafkaOptions, PgOptions, PgVersion};
use outboxd_tests::patience::eventually;
use outboxd_tests::proxy::{Proxy, Side, Way};
use outboxd_tests::relay::{RelayCommand, RelayProcess, relay_on};
use outboxd_tests::rounds::Rounds;
use outboxd_tests::topic::Record;
use outboxd_tests::workload::Running;
use tokio::time::sleep;

use crate::brokers::leader;
use crate::mode::Mode;
use crate::oracle::Oracle;
use crate::stage::{Stage, grown};

/// Servers of its own, and a proxy before each broker.
struct Far {
    stage: Stage,
    proxies: Vec<Proxy>,
}

impl Far {
    async fn new(brokers: Brokers) -> Result<Self> {
        let mut proxies = Vec::new();
        for _ in 0..brokers.count() {
            proxies.push(Proxy::nowhere().await?);
        }
        let detours = proxies.iter().map(|proxy| proxy.address().port()).collect();
        let kafka = KafkaOptions { brokers, detours, ..KafkaOptions::default() };
        let stage = Stage::on(PgOptions::of(PgVersion::V17), kafka).await?;
        let ends = stage.kafka.bootstrap_of(KafkaOptions::DETOUR)?;
        for (proxy, end) in proxies.iter().zip(ends.split(',')) {
            proxy.lead_to(end.parse()?);
        }
        Ok(Self { stage, proxies })
    }

    /// Its requests wait for an answer as long as a test has patience for.
    fn relay(&self, mode: Mode) -> Result<RelayCommand> {
        let addresses: Vec<_> =
            self.proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        let command = mode.on(relay_on(&self.stage.database, &addresses.join(",")));
        let timeout_ms = REQUEST_TIME.as_millis();
        command.file(&format!("[kafka.properties]\n\"socket.timeout.ms\" = \"{timeout_ms}\"\n"))
    }

    /// The one before the broker that leads a partition now.
    fn before_leader(&self, partition: i32) -> Result<&Proxy> {
        let node = leader(&self.stage, self.stage.topic.name(), partition)?;
        self.proxies.get(node - 1).context("no such broker")
    }

    fn only(&self) -> &Proxy {
        &self.proxies[0]
    }

    async fn grown(&self, by: i64) -> Result<()> {
        grown(&self.stage.topic, by).await
    }

    async fn conclude(&self, mode: Mode, writers: Running, relay: RelayProcess) -> Result<()> {
        writers.stop().await?;
        self.stage.conclude(mode, relay).await?.expect_perfect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_out_of_reach_costs_nothing_but_time() -> Result<()> {
    cut_off(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_out_of_reach_costs_nothing_but_time_exactly_once() -> Result<()> {
    cut_off(Mode::ExactlyOnce).await
}

/// The brokers see each other, so they move no leader: the relay has to wait for this one.
async fn cut_off(mode: Mode) -> Result<()> {
    let mut rounds = Rounds::of(4);
    let far = Far::new(Brokers::Three).await?;
    let relay = far.relay(mode)?.start().await?;
    let writers = far.stage.load().await?;
    for round in rounds.by_ref() {
        far.grown(300).await?;
        let proxy = far.before_leader(i32::try_from(round % 4)?)?;
        let attempts = proxy.attempts();
        match round % 2 {
            0 => {
                proxy.refuse(true);
                proxy.reset();
            }
            _ => {
                proxy.stall(Way::Up);
                proxy.stall(Way::Down);
            }
        }
        eventually("further attempts", || async {
            Ok((proxy.attempts() > attempts + 1).then_some(()))
        })
        .await?;
        if mode == Mode::AtLeastOnce {
            // What the other brokers lead goes on.
            far.grown(300).await?;
        }
        proxy.refuse(false);
        proxy.flow();
        far.grown(300).await?;
    }
    far.conclude(mode, writers, relay).await?;
    rounds.passed(&format!("one of three brokers out of reach, {mode:?}"));
    Ok(())
}

/// What others have acknowledged long ago does not move the position past what one still has to
/// get. When the relay stands still, what is on its way to that one does not arrive either.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_leader_holds_the_position_back() -> Result<()> {
    let far = Far::new(Brokers::Three).await?;
    let oracle = Oracle::new(&far.stage.database).await?;
    let relay = far.relay(Mode::AtLeastOnce)?.start().await?;
    let writers = far.stage.load().await?;
    far.grown(100).await?;
    let slow = far.before_leader(0)?;
    slow.delay(Way::Up, Duration::from_secs(1));
    let mut seen: Vec<(Lsn, Vec<Record>)> = Vec::new();
    for _ in 0..FREEZES {
        far.grown(100).await?;
        // The position has passed something since the last time.
        let last = seen.last().map(|(confirmed, _)| *confirmed);
        eventually("a risen position", || async {
            Ok((far.stage.database.confirmed().await? > last).then_some(()))
        })
        .await?;
        relay.freeze().await?;
        slow.stall(Way::Up);
        let confirmed = far.stage.database.confirmed().await?.context("no slot")?;
        seen.push((confirmed, far.stage.topic.read_all().await?));
        slow.flow();
        relay.thaw()?;
    }
    slow.delay(Way::Up, Duration::ZERO);
    let commits = oracle.read().await?;
    for (confirmed, records) in &seen {
        commits.expect_published(*confirmed, records)?;
    }
    let ahead: Vec<usize> = seen
        .iter()
        .map(|(confirmed, records)| records.len().saturating_sub(commits.up_to(*confirmed)))
        .collect();
    println!("events published ahead of the confirmed position, at each freeze: {ahead:?}");
    ensure!(ahead.iter().any(|&count| count > 0), "no acknowledgement came out of order");
    far.conclude(Mode::AtLeastOnce, writers, relay).await
}

/// The coordinator has ended the transaction, and the relay hears of it too late: its client has
/// asked again, and the second request may come when the next transaction is open.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_answered_late_costs_the_producer() -> Result<()> {
    let mut rounds = Rounds::of(3);
    let far = Far::new(Brokers::One).await?;
    let relay = far.relay(Mode::ExactlyOnce)?.start().await?;
    let writers = far.stage.load().await?;
    for _ in rounds.by_ref() {
        far.grown(100).await?;
        let mark = relay.mark();
        catch_commit(&far, Side::Behind).await?;
        sleep(REQUEST_TIME * 3 / 2).await;
        far.only().flow();
        relay.wait_event_after(mark, "producer.retired").await?;
    }
    far.grown(100).await?;
    far.conclude(Mode::ExactlyOnce, writers, relay).await?;
    rounds.passed("commits answered late");
    Ok(())
}

/// Whether the coordinator has got the request or not, nothing is repeated and nothing is torn.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_at_a_commit_repeats_nothing() -> Result<()> {
    let mut rounds = Rounds::of(4);
    let mut far = Far::new(Brokers::One).await?;
    let relay = far.relay(Mode::ExactlyOnce)?.start().await?;
    let writers = far.stage.load().await?;
    for round in rounds.by_ref() {
        far.grown(100).await?;
        catch_commit(&far, side(round)).await?;
        far.stage.kafka.kill_broker(1).await?;
        far.only().reset();
        far.only().flow();
        far.stage.kafka.start_broker_again(1).await?;
        far.grown(100).await?;
    }
    far.conclude(Mode::ExactlyOnce, writers, relay).await?;
    rounds.passed("coordinator killed at a commit");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_a_commit_repeats_nothing() -> Result<()> {
    let mut rounds = Rounds::of(6);
    let far = Far::new(Brokers::One).await?;
    let relay = far.relay(Mode::ExactlyOnce)?.start().await?;
    let writers = far.stage.load().await?;
    for round in rounds.by_ref() {
        far.grown(100).await?;
        catch_commit(&far, side(round)).await?;
        far.only().reset();
        far.only().flow();
    }
    far.grown(100).await?;
    far.conclude(Mode::ExactlyOnce, writers, relay).await?;
    rounds.passed("connections cut at a commit");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_kafka_cut_anywhere_repeat_nothing() -> Result<()> {
    cut_anywhere(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_kafka_cut_anywhere_repeat_nothing_exactly_once() -> Result<()> {
    cut_anywhere(Mode::ExactlyOnce).await
}

async fn cut_anywhere(mode: Mode) -> Result<()> {
    let mut rounds = Rounds::of(10);
    let mut random = rounds.random();
    let far = Far::new(Brokers::One).await?;
    let relay = far.relay(mode)?.start().await?;
    let writers = far.stage.load().await?;
    for round in rounds.by_ref() {
        far.grown(50).await?;
        match round % 2 {
            0 => far.only().cut_after(Way::Up, random.below(30_000)),
            _ => far.only().cut_after(Way::Down, random.below(2_000)),
        }
        eventually("a cut", || async { Ok((!far.only().is_armed()).then_some(())) }).await?;
    }
    far.grown(50).await?;
    far.conclude(mode, writers, relay).await?;
    rounds.passed(&format!("connections to Kafka cut, {mode:?}"));
    Ok(())
}

/// Waits until a commit is on its way; then nothing is any more.
async fn catch_commit(far: &Far, side: Side) -> Result<()> {
    far.only().catch(side, is_end_of_transaction);
    eventually("a commit", || async { Ok((!far.only().is_armed()).then_some(())) }).await
}

/// Either, in turn.
fn side(round: u64) -> Side {
    if round.is_multiple_of(2) { Side::Before } else { Side::Behind }
}

/// A request of Kafka's protocol: four bytes of length, two that say what it is.
fn is_end_of_transaction(piece: &[u8]) -> bool {
    piece.get(4..6) == Some(&END_TXN.to_be_bytes())
}

const END_TXN: u16 = 26;
const FREEZES: usize = 6;
/// Long enough for brokers on a busy machine.
const REQUEST_TIME: Duration = Duration::from_secs(6);
