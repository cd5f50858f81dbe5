//! What comes twice when the relay is stopped in the middle of a drain and started again.
//!
//! SIGTERM: nothing. SIGKILL: at most what the relay announces when it takes over. Either way
//! nothing is lost and first copies stay in order.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::data::Backlog;
use super::figures::number;
use super::kafka::Growth;
use super::relay::{Mode, Relay, Route};
use super::server::{LOOK_INTERVAL, Transport};
use super::table::Table;
use super::topic::Topic;
use super::verify::Verdict;
use crate::cmd::bench::BenchArgs;

#[derive(Debug, Serialize)]
pub(crate) struct Crash {
    mode: Mode,
    signal: Ending,
    round: u32,
    records_at_signal: u64,
    records_at_end_of_first: u64,
    /// From the signal to the end of the process.
    stop_ms: f64,
    exit: Option<i32>,
    /// As announced by the second process.
    repeats_max: u64,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Ending {
    SigKill,
    SigTerm,
}

impl Ending {
    fn signal(self) -> Signal {
        match self {
            Self::SigKill => Signal::KILL,
            Self::SigTerm => Signal::TERM,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::SigKill => "SIGKILL",
            Self::SigTerm => "SIGTERM",
        }
    }
}

pub(crate) async fn measure(
    backlog: &mut Backlog,
    broker: &Broker,
    args: &BenchArgs,
    faults: &mut Vec<String>,
) -> anyhow::Result<Vec<Crash>> {
    let mut crashes = Vec::new();
    let endings = [Ending::SigKill, Ending::SigTerm];
    for (mode, ending) in args.mode.iter().flat_map(|mode| endings.map(|it| (*mode, it))) {
        for round in 1..=args.rounds.get() {
            let name = format!("{}, {}", ending.name(), mode.name());
            eprintln!("bench: {name} in mid-drain: round {round} of {}", args.rounds);
            let crash = run(backlog, broker, mode, ending, round).await?;
            if let Err(fault) = crash.check() {
                faults.push(format!("{name}, round {round}: {fault}"));
            }
            crashes.push(crash);
        }
    }
    Ok(crashes)
}

async fn run(
    backlog: &mut Backlog,
    broker: &Broker,
    mode: Mode,
    signal: Ending,
    round: u32,
) -> anyhow::Result<Crash> {
    let slot = backlog.copy_slot().await?;
    let topic = broker.create_topic().await?;
    let url = backlog.server.url(Transport::Tcp)?;
    let route = Route { url, slot: &slot, topic: Some(&topic), mode };
    route.set_up().await?;
    let mut first = route.start()?;
    let records_at_signal = reach(&topic, &mut first, backlog.profile.rows * 2 / 5).await?;
    let told = Instant::now();
    first.child.send(signal.signal())?;
    let ended = timeout(STOP_LIMIT, first.child.ended()).await.context("it does not stop")??;
    let records_at_end_of_first = topic.count().await?;
    let mut second = route.start()?;
    // The first may have left nothing to do.
    second.streaming(&backlog.server, &slot).await?;
    confirm(backlog, &slot, &topic, &mut second).await?;
    second.terminate().await?;
    let repeats_max = second.repeats_max().context("the relay announced no bound")?;
    let verdict = topic.verify(backlog.profile.rows).await?;
    backlog.server.drop_slot(&slot).await?;
    broker.delete_topics(&[&topic.name, &route.progress_topic()]).await?;
    Ok(Crash {
        mode,
        signal,
        round,
        records_at_signal,
        records_at_end_of_first,
        stop_ms: (ended.at - told).as_secs_f64() * 1e3,
        exit: ended.status.code(),
        repeats_max,
        verdict,
    })
}

impl Crash {
    fn check(&self) -> anyhow::Result<()> {
        let duplicates_max = match self.signal {
            Ending::SigKill => self.repeats_max,
            Ending::SigTerm => {
                ensure!(self.exit == Some(0), "the relay ended with {:?}", self.exit);
                0
            }
        };
        self.verdict.check(duplicates_max)
    }
}

/// Waits until so many records are there.
async fn reach(topic: &Topic, relay: &mut Relay, records: u64) -> anyhow::Result<u64> {
    let mut counter = topic.counter()?;
    let mut growth = Growth::new();
    loop {
        let count = counter.count().await?;
        if count >= records {
            return Ok(count);
        }
        growth.expect(count, relay)?;
        sleep(QUICK_LOOK_INTERVAL).await;
    }
}

/// Waits until everything is confirmed: then nothing more comes.
async fn confirm(
    backlog: &Backlog,
    slot: &str,
    topic: &Topic,
    relay: &mut Relay,
) -> anyhow::Result<()> {
    let mut counter = topic.counter()?;
    let mut growth = Growth::new();
    while !backlog.server.is_confirmed(slot, &backlog.end_lsn).await? {
        growth.expect(counter.count().await?, relay)?;
        sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

pub(crate) fn table(crashes: &[Crash]) -> Table {
    let mut table = Table::new("Stopped in mid-drain, then started again", HEAD);
    for crash in crashes {
        let Verdict { records, distinct, duplicates, missing, out_of_order, .. } = crash.verdict;
        let count = |count: u64| number(count as f64, 0);
        let exit = crash.exit.map_or("killed".to_owned(), |exit| exit.to_string());
        table.row([
            crash.signal.name().to_owned(),
            crash.mode.name().to_owned(),
            crash.round.to_string(),
            count(crash.records_at_signal),
            count(crash.records_at_end_of_first),
            count(records),
            count(distinct),
            count(duplicates),
            count(crash.repeats_max),
            count(missing),
            count(out_of_order),
            format!("{exit} in {} ms", number(crash.stop_ms, 0)),
        ]);
    }
    table
}

const HEAD: &[&str] = &[
    "signal",
    "mode",
    "round",
    "records at signal",
    "at its end",
    "records",
    "distinct",
    "duplicates",
    "announced at most",
    "lost",
    "out of order",
    "exit",
];

/// A hundred thousand records pass in half a second.
const QUICK_LOOK_INTERVAL: Duration = Duration::from_millis(2);
const STOP_LIMIT: Duration = Duration::from_secs(60);
