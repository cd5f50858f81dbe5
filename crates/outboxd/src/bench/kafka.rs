//! How fast a backlog gets into Kafka, and what that costs.
//!
//! Rates come from the broker's own clock: from the first record's arrival to the last one's, and
//! from the relay's fork. Every run is read back and judged.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::time::sleep;

use super::broker::Broker;
use super::data::{Backlog, Profile};
use super::figures::{self, MEBIBYTE};
use super::proc;
use super::relay::{Mode, Relay, Route};
use super::server::{Transport, Walsender};
use super::table::Table;
use super::topic::Topic;
use super::verify::Verdict;
use crate::cmd::bench::BenchArgs;

/// All rounds of one backlog.
#[derive(Debug, Serialize)]
pub(crate) struct IntoKafka {
    profile: Profile,
    mode: Mode,
    rounds: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    /// From the first record to the last.
    events_per_second: f64,
    /// From the start of the process to the last record.
    events_per_second_with_start: f64,
    /// From the start of the process to the first record.
    start_ms: f64,
    cpu_s_per_million: f64,
    walsender_cpu_s_per_million: f64,
    broker_cpu_s_per_million: f64,
    peak_bytes: u64,
    verdict: Verdict,
}

/// What processes had used when the last record was there.
struct Used {
    relay: Duration,
    walsender: Duration,
    broker: Duration,
    peak_bytes: u64,
}

pub(crate) async fn measure(
    backlog: &mut Backlog,
    broker: &Broker,
    args: &BenchArgs,
    faults: &mut Vec<String>,
) -> anyhow::Result<Vec<IntoKafka>> {
    let profile = backlog.profile;
    let none = |mode: &Mode| IntoKafka { profile, mode: *mode, rounds: Vec::new() };
    let mut measured: Vec<IntoKafka> = args.mode.iter().map(none).collect();
    for round in 1..=args.rounds.get() {
        for IntoKafka { mode, rounds, .. } in &mut measured {
            let what = format!("{} into Kafka, {}", profile.name, mode.name());
            eprintln!("bench: {what}: round {round} of {}", args.rounds);
            let run = run(backlog, broker, *mode).await?;
            if let Err(fault) = run.verdict.check(0) {
                faults.push(format!("{what}, round {round}: {fault}"));
            }
            rounds.push(run);
        }
    }
    Ok(measured)
}

async fn run(backlog: &mut Backlog, broker: &Broker, mode: Mode) -> anyhow::Result<Run> {
    let slot = backlog.copy_slot().await?;
    let topic = broker.create_topic().await?;
    let url = backlog.server.url(Transport::Tcp)?;
    let route = Route { url, slot: &slot, topic: Some(&topic), mode };
    route.set_up().await?;
    let mut relay = route.start()?;
    let used = follow(backlog, broker, &mut relay, &topic, &slot).await?;
    relay.terminate().await?;
    let verdict = topic.verify(backlog.profile.rows).await?;
    backlog.server.drop_slot(&slot).await?;
    broker.delete_topics(&[&topic.name, &route.progress_topic()]).await?;
    Run::new(backlog.profile.rows, relay.child.forked_at, &used, verdict)
}

impl Run {
    fn new(rows: u64, forked: SystemTime, used: &Used, verdict: Verdict) -> anyhow::Result<Self> {
        let forked_ms = forked.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64() * 1e3;
        let (first_ms, last_ms) = (verdict.first_append_ms as f64, verdict.last_append_ms as f64);
        let rate = |ms: f64| figures::rate(rows, Duration::from_secs_f64(ms.max(0.0) / 1e3));
        Ok(Self {
            events_per_second: rate(last_ms - first_ms),
            events_per_second_with_start: rate(last_ms - forked_ms),
            start_ms: first_ms - forked_ms,
            cpu_s_per_million: figures::per_million(used.relay, rows),
            walsender_cpu_s_per_million: figures::per_million(used.walsender, rows),
            broker_cpu_s_per_million: figures::per_million(used.broker, rows),
            peak_bytes: used.peak_bytes,
            verdict,
        })
    }
}

async fn follow(
    backlog: &Backlog,
    broker: &Broker,
    relay: &mut Relay,
    topic: &Topic,
    slot: &str,
) -> anyhow::Result<Used> {
    let broker_pid = broker.pid().context("the broker has no process")?;
    let broker_before = proc::cpu(broker_pid).unwrap_or_default();
    let mut walsender = Walsender::of(&backlog.server, slot);
    let mut counter = topic.counter()?;
    let mut growth = Growth::new();
    loop {
        let count = counter.count().await?;
        walsender.cpu().await?;
        let are_all_there = count >= backlog.profile.rows;
        if are_all_there && backlog.server.is_confirmed(slot, &backlog.end_lsn).await? {
            break;
        }
        growth.expect(count, relay)?;
        sleep(LOOK_INTERVAL).await;
    }
    Ok(Used {
        relay: proc::cpu(relay.child.id()).context("the relay is gone")?,
        walsender: walsender.cpu().await?,
        broker: proc::cpu(broker_pid).context("the broker is gone")?.saturating_sub(broker_before),
        peak_bytes: proc::peak_bytes(relay.child.id()).context("the relay is gone")?,
    })
}

/// Notices that nothing comes any more.
pub(crate) struct Growth {
    count: u64,
    since: Instant,
}

impl Growth {
    pub(crate) fn new() -> Self {
        Self { count: 0, since: Instant::now() }
    }

    pub(crate) fn expect(&mut self, count: u64, relay: &mut Relay) -> anyhow::Result<()> {
        relay.expect_alive()?;
        if count != self.count {
            *self = Self { count, since: Instant::now() };
        }
        ensure!(self.since.elapsed() < STANDSTILL_MAX, "no record comes after {count} of them");
        Ok(())
    }
}

pub(crate) fn table(measured: &[IntoKafka]) -> Table {
    let mut table = Table::new("Drain into Kafka (min / median / max)", HEAD);
    for IntoKafka { profile, mode, rounds } in measured {
        let cell =
            |figure: fn(&Run) -> f64, decimals| figures::cell(rounds.iter().map(figure), decimals);
        table.row([
            profile.name.to_string(),
            mode.name().to_owned(),
            cell(|run| run.events_per_second, 0),
            cell(|run| run.events_per_second_with_start, 0),
            cell(|run| run.start_ms, 0),
            cell(|run| run.cpu_s_per_million, 2),
            cell(|run| run.walsender_cpu_s_per_million, 2),
            cell(|run| run.broker_cpu_s_per_million, 2),
            cell(|run| run.peak_bytes as f64 / MEBIBYTE, 1),
            cell(|run| run.verdict.distinct as f64, 0),
        ]);
    }
    table
}

const HEAD: &[&str] = &[
    "backlog",
    "mode",
    "events/s, first to last",
    "events/s with start",
    "start to first record, ms",
    "CPU s per M",
    "walsender CPU s per M",
    "broker CPU s per M",
    "peak RSS MiB",
    "verified events",
];

/// Each look asks the broker, which has better things to do.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const STANDSTILL_MAX: Duration = Duration::from_secs(120);
