//! What the relay does on this machine, in figures. Starts its own servers, and leaves nothing.
//!
//! - [`drain`]: the stream into nothing, next to pg_recvlogical.
//! - [`kafka`]: a backlog into Kafka.
//! - [`latency`]: commit to consumer, next to producing directly.
//! - [`crash`]: what comes twice after a kill.
//! - [`takeover`]: how long a standby takes.
//! - [`wal`]: what an event costs in the write-ahead log of those who write it.
//!
//! Every run is checked, and a wrong one fails the benchmark after the tables are printed: figures
//! of a relay that loses something are worth nothing.

mod broker;
mod child;
mod crash;
pub(crate) mod data;
pub(crate) mod discard;
mod drain;
mod figures;
mod kafka;
mod latency;
mod load;
mod machine;
mod pass;
mod pipe;
mod proc;
pub(crate) mod relay;
mod results;
pub(crate) mod server;
mod stamps;
mod table;
mod takeover;
mod topic;
mod verify;
mod wal;

use std::process::ExitCode;

use self::broker::Broker;
use self::data::{Backlog, Profile, ProfileName};
use self::results::Results;
use self::server::Server;
use crate::cmd::bench::{BenchArgs, What};
use crate::{output, signals};

/// Ends at the first signal as at an error: with what is known so far, and without leaving servers.
pub(crate) async fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let mut results = Results::new();
    let measured = tokio::select! {
        measured = measure(args, &mut results) => Some(measured),
        () = signals::shutdown() => None,
    };
    output::print(&results.to_string())?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&results)? + "\n")?;
    }
    match measured {
        Some(measured) => measured?,
        None => return Ok(ExitCode::from(INTERRUPTED)),
    }
    results.check()?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &BenchArgs, results: &mut Results) -> anyhow::Result<()> {
    let wants = |what| args.what == what || args.what == What::All;
    let broker = match args.what {
        What::Drain | What::Wal => None,
        _ => Some(Broker::start().await?),
    };
    if let Some(broker) = &broker {
        results.machine.set_kafka(broker.version().await?);
    }
    for (name, crash) in backlogs(args) {
        let mut backlog = Backlog::load(Profile::of(name, args.rows_scale)).await?;
        results.look_at(&backlog.server).await?;
        if wants(What::Drain) && args.profile.contains(&name) {
            for &transport in &args.transport {
                let rounds = args.rounds.get();
                results.drain.push(drain::measure(&mut backlog, transport, rounds).await?);
            }
        }
        let Some(broker) = &broker else { continue };
        let faults = &mut results.faults;
        if wants(What::Kafka) && args.profile.contains(&name) {
            results.kafka.extend(kafka::measure(&mut backlog, broker, args, faults).await?);
        }
        if crash {
            results.crash = crash::measure(&mut backlog, broker, args, faults).await?;
        }
    }
    if let Some(broker) = broker.filter(|_| wants(What::Latency) || wants(What::TakeOver)) {
        let server = Server::start().await?;
        results.look_at(&server).await?;
        if wants(What::Latency) {
            results.latency = latency::measure(&server, &broker, args, &mut results.faults).await?;
        }
        if wants(What::TakeOver) {
            results.take_over = takeover::measure(&server, &broker, args).await?;
        }
    }
    if wants(What::Wal) {
        let server = Server::start().await?;
        results.look_at(&server).await?;
        results.wal = wal::measure(&server, args.rounds.get()).await?;
    }
    Ok(())
}

/// Which backlogs are written, and in the middle of which the relay is stopped.
fn backlogs(args: &BenchArgs) -> Vec<(ProfileName, bool)> {
    let crash = matches!(args.what, What::Crash | What::All);
    let drains = !matches!(args.what, What::Crash | What::Latency | What::TakeOver | What::Wal);
    let mut names = if drains { args.profile.clone() } else { Vec::new() };
    if crash && !names.contains(&CRASHED) {
        names.push(CRASHED);
    }
    names.into_iter().map(|name| (name, crash && name == CRASHED)).collect()
}

const CRASHED: ProfileName = ProfileName::P100;
/// What a shell gives to a process that ended by SIGINT.
const INTERRUPTED: u8 = 130;
