//! From commit to consumer at a steady pace, next to a record produced directly and seen by the
//! same consumer, and what the relay costs meanwhile and when nothing happens.
//!
//! Writers and consumer are in this process and use one clock.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::broker::Broker;
use super::figures::{self, NONE};
use super::load::{Lane, Pace};
use super::pass::{self, Pass, Watched};
use super::proc;
use super::relay::{Mode, Relay, Route};
use super::server::{Server, Transport};
use super::stamps::Latency;
use super::table::Table;
use crate::cmd::bench::BenchArgs;

/// One relay's life, and the same load without one.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    mode: Mode,
    /// Part of one core that the relay takes when nothing happens.
    idle_cores: f64,
    relayed: Vec<At>,
    direct: Vec<At>,
}

/// At one rate.
#[derive(Debug, Serialize)]
struct At {
    rate: u32,
    latency: Latency,
    /// Parts of one core; empty without a relay.
    cores: Vec<f64>,
}

pub(crate) async fn measure(
    server: &Server,
    broker: &Broker,
    args: &BenchArgs,
    faults: &mut Vec<String>,
) -> anyhow::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    let of_round = |round| args.mode.iter().map(move |mode| (round, *mode));
    for (number, (round, mode)) in (1..).zip((1..=args.rounds.get()).flat_map(of_round)) {
        eprintln!("bench: latency, {}: round {round} of {}", mode.name(), args.rounds);
        let mut faulty = |at: u32, fault: anyhow::Error| {
            faults.push(format!("latency at {at}/s, {}, round {round}: {fault}", mode.name()));
        };
        rounds.push(measure_round(server, broker, args, mode, number, &mut faulty).await?);
    }
    Ok(rounds)
}

async fn measure_round(
    server: &Server,
    broker: &Broker,
    args: &BenchArgs,
    mode: Mode,
    number: u32,
    faulty: &mut impl FnMut(u32, anyhow::Error),
) -> anyhow::Result<Round> {
    let slot = format!("latency_{number}");
    server.create_slot(&slot).await?;
    let topic = broker.create_topic().await?;
    let url = server.url(Transport::Tcp)?;
    let route = Route { url, slot: &slot, topic: Some(&topic), mode };
    route.set_up().await?;
    let mut relay = route.start()?;
    let walsender = relay.streaming(server, &slot).await?;
    let idle_cores = idle(&relay, args.idle_secs).await?;
    let watched = Watched { processes: vec![relay.child.id(), walsender] };
    let (mut relayed, mut direct) = (Vec::new(), Vec::new());
    let mut numbers = u64::from(number) << 32;
    for rate in RATES {
        let pace = Pace { rate, warm_up: args.warm_secs, time: args.secs };
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            lanes.push(Lane::inserting(server).await?);
        }
        let pass = Pass { pace, lanes, first_number: numbers };
        numbers += pace.events() as u64;
        relayed.push(at(pass::run(pass, &topic, &watched).await?, rate, faulty)?);
        relay.expect_alive()?;
        let other = broker.create_topic().await?;
        let lanes = (0..LANES).map(|_| Lane::producing(&other)).collect::<Result<_, _>>()?;
        let pass = Pass { pace, lanes, first_number: numbers };
        numbers += pace.events() as u64;
        direct.push(at(pass::run(pass, &other, &Watched::default()).await?, rate, faulty)?);
        broker.delete_topics(&[&other.name]).await?;
    }
    relay.terminate().await?;
    server.drop_slot(&slot).await?;
    broker.delete_topics(&[&topic.name, &route.progress_topic()]).await?;
    Ok(Round { mode, idle_cores, relayed, direct })
}

fn at(
    outcome: pass::Outcome,
    rate: u32,
    faulty: &mut impl FnMut(u32, anyhow::Error),
) -> anyhow::Result<At> {
    if let Err(fault) = outcome.check() {
        faulty(rate, fault);
    }
    Ok(At { rate, latency: outcome.latency.context("no event was seen")?, cores: outcome.cores })
}

/// Part of one core that the relay takes when nothing happens.
async fn idle(relay: &Relay, time: Duration) -> anyhow::Result<f64> {
    // What belongs to the start is over by then.
    sleep(SETTLING).await;
    let used = || proc::cpu(relay.child.id()).context("the relay is gone");
    let (begun, before) = (Instant::now(), used()?);
    sleep(time).await;
    let used = used()?.checked_sub(before);
    ensure!(used.is_some(), "CPU time went backwards");
    Ok(used.unwrap_or_default().as_secs_f64() / begun.elapsed().as_secs_f64())
}

pub(crate) fn tables(rounds: &[Round]) -> [Table; 2] {
    let mut latency = Table::new("Latency in ms (min / median / max)", LATENCY_HEAD);
    let mut cost = Table::new("CPU of the relay, % of a core (min / median / max)", COST_HEAD);
    for mode in [Mode::AtLeastOnce, Mode::ExactlyOnce] {
        let rounds: Vec<&Round> = rounds.iter().filter(|round| round.mode == mode).collect();
        if !rounds.is_empty() {
            add_rows(mode, &rounds, &mut latency, &mut cost);
        }
    }
    [latency, cost]
}

fn add_rows(mode: Mode, rounds: &[&Round], latency: &mut Table, cost: &mut Table) {
    let idle = rounds.iter().map(|round| round.idle_cores * 100.0);
    let cells = [mode.name(), "idle", &figures::cell(idle, 2), NONE];
    cost.row(cells.map(str::to_owned));
    for (index, rate) in RATES.into_iter().enumerate() {
        let relayed: Vec<&At> = rounds.iter().map(|round| &round.relayed[index]).collect();
        let direct: Vec<&At> = rounds.iter().map(|round| &round.direct[index]).collect();
        let ratios = relayed.iter().zip(&direct).map(|(relayed, direct)| {
            relayed.latency.sent_to_seen.p50 / direct.latency.sent_to_seen.p50
        });
        latency.row(latency_row(rate, "direct", &direct, NONE.to_owned()));
        latency.row(latency_row(rate, mode.name(), &relayed, figures::cell(ratios, 2)));
        let cores =
            |process: usize| figures::cell(relayed.iter().map(|at| at.cores[process] * 100.0), 2);
        cost.row([mode.name().to_owned(), format!("{rate}/s"), cores(0), cores(1)]);
    }
}

fn latency_row(rate: u32, path: &str, measured: &[&At], ratio: String) -> [String; 9] {
    let cell = |figure: fn(&Latency) -> f64| {
        figures::cell(measured.iter().map(|at| figure(&at.latency)), 2)
    };
    [
        format!("{rate}/s"),
        path.to_owned(),
        cell(|latency| latency.sent_to_seen.p50),
        ratio,
        cell(|latency| latency.sent_to_seen.p99),
        cell(|latency| latency.sent_to_seen.max),
        cell(|latency| latency.acked_to_seen.p50),
        cell(|latency| latency.acked_to_seen.p99),
        cell(|latency| latency.acked_to_seen.max),
    ]
}

const RATES: [u32; 2] = [1000, 100];
const LANES: usize = 8;
const SETTLING: Duration = Duration::from_secs(2);
const LATENCY_HEAD: &[&str] = &[
    "rate",
    "path",
    "sent to seen p50",
    "× direct",
    "p99",
    "max",
    "acked to seen p50",
    "p99",
    "max",
];
const COST_HEAD: &[&str] = &["mode", "load", "relay", "walsender"];
