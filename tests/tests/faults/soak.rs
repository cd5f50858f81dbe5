//! Everything at once: two relays, writers without a pause, and one fault after another. With
//! `MINUTES=30` for that long.
//!
//! It goes in rounds. Each has rows and a topic of its own, which are judged when its writers have
//! stopped; the relays and the servers go on.

use anyhow::{Context, Result, ensure};
use outboxd_sandbox::{Brokers, StopMode};
use outboxd_tests::checker::{self, Verdict};
use outboxd_tests::patience::eventually;
use outboxd_tests::random::Random;
use outboxd_tests::relay::{RelayCommand, RelayProcess};
use outboxd_tests::rounds::Rounds;
use outboxd_tests::scene::unique;
use outboxd_tests::topic::Topic;
use outboxd_tests::truth;
use outboxd_tests::workload::Workload;

use crate::mode::Mode;
use crate::stage::{Stage, grown};

#[tokio::test(flavor = "multi_thread")]
async fn faults_one_after_another() -> Result<()> {
    let mut rounds = Rounds::of(1);
    let mut soak = Soak::new(Mode::AtLeastOnce, &rounds).await?;
    for round in rounds.by_ref() {
        let verdict = soak.round(round).await?;
        let allowed = soak.repeats_allowed();
        println!("{} repeats, {allowed} allowed", verdict.duplicates.len());
        // What a frozen relay had handed to its client is written when it wakes, in between.
        Verdict { holes: Vec::new(), ..verdict }.expect_repeats_up_to(allowed)?;
    }
    soak.end().await?;
    rounds.passed("rounds of six faults");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_one_after_another_exactly_once() -> Result<()> {
    let mut rounds = Rounds::of(1);
    let mut soak = Soak::new(Mode::ExactlyOnce, &rounds).await?;
    for round in rounds.by_ref() {
        soak.round(round).await?.expect_perfect()?;
    }
    soak.end().await?;
    rounds.passed("rounds of six faults, exactly once");
    Ok(())
}

struct Soak {
    stage: Stage,
    command: RelayCommand,
    /// One is active, the other stands by, or is on its way to it.
    relays: Vec<RelayProcess>,
    /// Said by those that are gone.
    repeats_of_gone: u64,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    RelayKilled,
    RelayTerminated,
    RelayFrozen,
    WalsenderTerminated,
    PostgresCrashed,
    PostgresRestarted,
    BrokerKilled,
    BrokerFrozen,
}

impl Soak {
    async fn new(mode: Mode, rounds: &Rounds) -> Result<Self> {
        let stage = Stage::new(Brokers::Three).await?;
        let command = mode
            .on(stage.relay())
            .set("delivery.max_unrecorded_events", "1000")
            .set("source.wal_sender_timeout", "4s")
            .expect_error("producer.failed");
        // The slot is there before they compete for it.
        command.start().await?.terminate().await?;
        let relays = vec![command.start().await?, command.spawn()?];
        Ok(Self { stage, command, relays, repeats_of_gone: 0, random: rounds.random() })
    }

    async fn round(&mut self, round: u64) -> Result<Verdict> {
        let kind = unique("s");
        let topic = format!("outbox.event.{kind}");
        let topic = self.stage.cluster().create_topic(&topic, 4, &[]).await?;
        let load = Workload { writers: 2, ..Workload::endless(&kind) };
        let writers = load.start(&self.stage.database).await?;
        grown(&topic, 100).await?;
        for _ in 0..FAULTS {
            let fault = FAULT[usize::try_from(self.random.below(FAULT.len() as u64))?];
            println!("round {round}: {fault:?}");
            self.inject(fault).await.with_context(|| format!("{fault:?}"))?;
            grown(&topic, 100).await.with_context(|| format!("after {fault:?}"))?;
        }
        writers.stop().await?;
        self.judge(&kind, &topic).await
    }

    async fn judge(&mut self, kind: &str, topic: &Topic) -> Result<Verdict> {
        self.stage.reopen().await?;
        let database = &self.stage.database;
        let rows = truth::read(database, kind).await?;
        database.wait_confirmed(database.wal_position().await?).await?;
        let records = topic.read_committed().await?;
        println!("{} rows, {} records", rows.len(), records.len());
        Ok(checker::check(&rows, &records, topic.partitions()))
    }

    async fn inject(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::RelayKilled => {
                let mut active = self.take_active().await?;
                active.kill().await?;
                self.replace(&active)
            }
            Fault::RelayTerminated => {
                let mut active = self.take_active().await?;
                ensure!(active.terminate().await?.success(), "no orderly end");
                self.replace(&active)
            }
            Fault::RelayFrozen => self.freeze_active().await,
            Fault::WalsenderTerminated => {
                self.stage.database.terminate_walsenders().await.map(drop)
            }
            Fault::PostgresCrashed => self.restart_postgres(StopMode::Immediate).await,
            Fault::PostgresRestarted => self.restart_postgres(StopMode::Fast).await,
            Fault::BrokerKilled => {
                let broker = self.broker()?;
                self.stage.kafka.kill_broker(broker).await?;
                Ok(self.stage.kafka.start_broker_again(broker).await?)
            }
            Fault::BrokerFrozen => {
                let broker = self.broker()?;
                self.stage.kafka.freeze_broker(broker).await?;
                let before = self.stage.database.wal_position().await?;
                self.wait_written(before).await?;
                Ok(self.stage.kafka.thaw_broker(broker).await?)
            }
        }
    }

    /// Until the other one has taken over.
    async fn freeze_active(&mut self) -> Result<()> {
        let active = self.take_active().await?;
        active.freeze().await?;
        let other = self.relays.pop().context("another relay")?;
        let mark = other.mark();
        let taken_over = other.wait_event_after(mark, "slot.streaming").await;
        active.thaw()?;
        self.relays.extend([other, active]);
        taken_over.map(drop)
    }

    async fn restart_postgres(&mut self, mode: StopMode) -> Result<()> {
        self.stage.postgres.stop(mode).await?;
        self.stage.postgres.start_again().await?;
        self.stage.reopen().await
    }

    /// Waits until one of them streams, and takes it out.
    async fn take_active(&mut self) -> Result<RelayProcess> {
        let relays = &self.relays;
        let find = || async { Ok(relays.iter().position(streams)) };
        let index = eventually("an active relay", find).await?;
        Ok(self.relays.remove(index))
    }

    fn replace(&mut self, gone: &RelayProcess) -> Result<()> {
        self.repeats_of_gone += repeats_max(gone);
        self.relays.push(self.command.spawn()?);
        Ok(())
    }

    /// What the relays have said at their take-overs that may be repeated.
    fn repeats_allowed(&self) -> u64 {
        self.repeats_of_gone + self.relays.iter().map(repeats_max).sum::<u64>()
    }

    fn broker(&mut self) -> Result<usize> {
        let brokers = self.stage.kafka.brokers() as u64;
        Ok(usize::try_from(1 + self.random.below(brokers))?)
    }

    async fn wait_written(&self, before: outboxd_core::lsn::Lsn) -> Result<()> {
        let database = &self.stage.database;
        eventually("writes meanwhile", || async {
            let now = database.wal_position().await?;
            Ok((now.bytes_since(before) > WRITTEN_BYTES).then_some(()))
        })
        .await
    }

    async fn end(mut self) -> Result<()> {
        let active = self.take_active().await?;
        for mut relay in self.relays.drain(..) {
            relay.kill().await?;
        }
        let mut active = active;
        ensure!(active.terminate().await?.success(), "no orderly end");
        Ok(())
    }
}

/// By what it said last.
fn streams(relay: &RelayProcess) -> bool {
    let told = ["slot.streaming", "session.lost", "session.closed", "relay.standby"];
    let lines = relay.lines();
    let last = lines.iter().rev().find(|line| told.contains(&line.event()));
    last.is_some_and(|line| line.event() == told[0])
}

fn repeats_max(relay: &RelayProcess) -> u64 {
    let lines = relay.lines();
    let claims = lines.iter().filter(|line| line.event() == "progress.claimed");
    claims.filter_map(|line| line.number("repeats_max")).sum()
}

const FAULT: [Fault; 8] = [
    Fault::RelayKilled,
    Fault::RelayTerminated,
    Fault::RelayFrozen,
    Fault::WalsenderTerminated,
    Fault::PostgresCrashed,
    Fault::PostgresRestarted,
    Fault::BrokerKilled,
    Fault::BrokerFrozen,
];
/// In each round.
const FAULTS: u32 = 6;
const WRITTEN_BYTES: u64 = 200_000;
