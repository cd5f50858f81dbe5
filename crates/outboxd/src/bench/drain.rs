//! How fast the stream is read and taken apart: a backlog drained into nothing, next to
//! pg_recvlogical, which writes the same stream to a pipe.
//!
//! Both drain a copy of the same slot, one after the other in each round, so that a change of the
//! machine's mood meets both.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::child::{Child, Ended};
use super::data::{Backlog, Profile};
use super::discard::Discarded;
use super::figures::{self, MEBIBYTE, NONE};
use super::pipe::swallow;
use super::proc;
use super::relay::{Mode, Route};
use super::server::{LOOK_INTERVAL, PUBLICATION, Transport, Walsender};
use super::table::Table;

/// All rounds of one backlog over one transport.
#[derive(Debug, Serialize)]
pub(crate) struct Drain {
    profile: Profile,
    transport: Transport,
    rounds: Vec<Pair>,
}

#[derive(Debug, Serialize)]
struct Pair {
    /// `None`: this Postgres came without it.
    pg_recvlogical: Option<Run>,
    relay: Run,
}

#[derive(Debug, Serialize)]
struct Run {
    rows_per_second: f64,
    /// Without start and end of the process.
    streaming_rows_per_second: f64,
    cpu_s_per_million: f64,
    walsender_cpu_s_per_million: f64,
    peak_bytes: u64,
}

/// A process that has drained a slot.
struct Drained {
    ended: Ended,
    walsender_cpu: Duration,
    /// The most that was seen while it ran.
    peak_bytes: u64,
}

pub(crate) async fn measure(
    backlog: &mut Backlog,
    transport: Transport,
    rounds: u32,
) -> anyhow::Result<Drain> {
    let profile = backlog.profile;
    let mut drain = Drain { profile, transport, rounds: Vec::new() };
    for round in 1..=rounds {
        eprintln!("bench: drain {} over {transport:?}: round {round} of {rounds}", profile.name);
        let pg_recvlogical = match backlog.server.pg_recvlogical() {
            Some(program) => Some(pg_recvlogical(backlog, transport, Command::new(program)).await?),
            None => None,
        };
        let relay = relay(backlog, transport).await?;
        drain.rounds.push(Pair { pg_recvlogical, relay });
    }
    Ok(drain)
}

impl Drain {
    pub(crate) fn is_compared(&self) -> bool {
        self.rounds.iter().any(|pair| pair.pg_recvlogical.is_some())
    }
}

async fn relay(backlog: &mut Backlog, transport: Transport) -> anyhow::Result<Run> {
    let slot = backlog.copy_slot().await?;
    let route = Route {
        url: backlog.server.url(transport)?,
        slot: &slot,
        topic: None,
        mode: Mode::AtLeastOnce,
    };
    let mut relay = route.start()?;
    let forked = relay.child.forked;
    let mut stdout = relay.child.take_stdout().context("the relay has no output")?;
    let id = relay.child.id();
    let drained = follow(id, Walsender::of(&backlog.server, &slot), relay.end()).await?;
    let mut text = String::new();
    stdout.read_to_string(&mut text)?;
    let discarded: Discarded = serde_json::from_str(&text)?;
    let rows = backlog.profile.rows;
    ensure!(discarded.records == rows, "the relay read {} of {rows} rows", discarded.records);
    backlog.server.drop_slot(&slot).await?;
    let span = Duration::from_micros(discarded.span_us);
    Ok(Run { peak_bytes: discarded.peak_bytes, ..drained.run(rows, forked, span) })
}

async fn pg_recvlogical(
    backlog: &mut Backlog,
    transport: Transport,
    mut command: Command,
) -> anyhow::Result<Run> {
    let slot = backlog.copy_slot().await?;
    let server = &backlog.server;
    command
        .args(["--host", &server.host(transport)?])
        .args(["--port", &server.postgres.port().to_string()])
        .args(["--username", "postgres", "--dbname", super::server::DATABASE, "--slot", &slot])
        .args(["--start", "--no-loop", "--file", "-", "--endpos", &backlog.end_lsn])
        .args(["--option", "proto_version=1"])
        .args(["--option", &format!("publication_names={PUBLICATION}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = Child::spawn(command)?;
    let (forked, id) = (child.forked, child.id());
    let stdout = child.take_stdout().context("pg_recvlogical has no output")?;
    let swallowed = spawn_blocking(move || swallow(stdout));
    let drained = follow(id, Walsender::of(server, &slot), child.ended()).await?;
    ensure!(drained.ended.status.success(), "pg_recvlogical: {}", drained.ended.status);
    let swallowed = swallowed.await??;
    let rows = backlog.profile.rows;
    // Each row is more than its payload.
    ensure!(swallowed.bytes > rows * PAYLOAD_BYTES_MIN, "pg_recvlogical did not read all rows");
    server.drop_slot(&slot).await?;
    Ok(drained.run(rows, forked, swallowed.span))
}

impl Drained {
    fn run(&self, rows: u64, forked: Instant, span: Duration) -> Run {
        Run {
            rows_per_second: figures::rate(rows, self.ended.at - forked),
            streaming_rows_per_second: figures::rate(rows, span),
            cpu_s_per_million: figures::per_million(self.ended.cpu, rows),
            walsender_cpu_s_per_million: figures::per_million(self.walsender_cpu, rows),
            peak_bytes: self.peak_bytes,
        }
    }
}

/// Watches a process and the one that feeds it, to the end.
async fn follow(
    id: u32,
    mut walsender: Walsender<'_>,
    end: impl Future<Output = anyhow::Result<Ended>>,
) -> anyhow::Result<Drained> {
    let mut end = std::pin::pin!(end);
    let (mut walsender_cpu, mut peak_bytes) = (Duration::ZERO, 0);
    loop {
        tokio::select! {
            ended = &mut end => return Ok(Drained { ended: ended?, walsender_cpu, peak_bytes }),
            () = sleep(LOOK_INTERVAL) => {
                walsender_cpu = walsender.cpu().await?;
                peak_bytes = proc::peak_bytes(id).unwrap_or(peak_bytes);
            }
        }
    }
}

pub(crate) fn table(drains: &[Drain]) -> Table {
    let mut table = Table::new("Drain into nothing (min / median / max)", HEAD);
    for drain in drains {
        let place = format!("{} {:?}", drain.profile.name, drain.transport).to_lowercase();
        if drain.is_compared() {
            let runs = || drain.rounds.iter().filter_map(|pair| pair.pg_recvlogical.as_ref());
            table.row(row(&place, "pg_recvlogical", runs, [NONE; 2].map(str::to_owned)));
        }
        let ratio = |figure: fn(&Run) -> f64| {
            let pairs = drain.rounds.iter();
            let ratios = pairs.filter_map(|pair| {
                Some(figure(&pair.relay) / figure(pair.pg_recvlogical.as_ref()?))
            });
            figures::cell(ratios, 2)
        };
        let ratios = [ratio(|run| run.rows_per_second), ratio(|run| run.streaming_rows_per_second)];
        table.row(row(&place, "outboxd", || drain.rounds.iter().map(|pair| &pair.relay), ratios));
    }
    table
}

fn row<'a, I: Iterator<Item = &'a Run>>(
    place: &str,
    who: &str,
    runs: impl Fn() -> I,
    ratios: [String; 2],
) -> [String; 9] {
    let cell = |figure: fn(&Run) -> f64, decimals| figures::cell(runs().map(figure), decimals);
    let [whole, streaming] = ratios;
    [
        place.to_owned(),
        who.to_owned(),
        cell(|run| run.rows_per_second, 0),
        whole,
        cell(|run| run.streaming_rows_per_second, 0),
        streaming,
        cell(|run| run.cpu_s_per_million, 2),
        cell(|run| run.walsender_cpu_s_per_million, 2),
        cell(|run| run.peak_bytes as f64 / MEBIBYTE, 1),
    ]
}

const HEAD: &[&str] = &[
    "backlog",
    "reader",
    "rows/s, whole process",
    "× pg_recvlogical",
    "rows/s, first to last",
    "× pg_recvlogical",
    "CPU s per M",
    "walsender CPU s per M",
    "peak RSS MiB",
];

const PAYLOAD_BYTES_MIN: u64 = 250;
