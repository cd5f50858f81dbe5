//! `outboxd bench`, and the hidden command that is the relay under measurement.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::run::{RunArgs, runtime};
use crate::bench::data::ProfileName;
use crate::bench::relay::Mode;
use crate::bench::server::Transport;
use crate::bench::{self, discard};
use crate::cli::Globals;

#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_enum, default_value_t = What::All)]
    pub(crate) what: What,
    /// How often each measurement is repeated
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) rounds: NonZeroU32,
    /// Backlogs to drain: rows in transactions of 100, of 1, many rows, one transaction
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "NAME,…",
        default_value = "p100,p1,big,tx1m"
    )]
    pub(crate) profile: Vec<ProfileName>,
    /// How Postgres is reached when nothing but its stream is measured
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "NAME,…",
        default_value = "tcp,unix"
    )]
    pub(crate) transport: Vec<Transport>,
    /// What the relay promises while it is measured
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "NAME,…",
        default_value = "at-least-once,exactly-once"
    )]
    pub(crate) mode: Vec<Mode>,
    /// Part of the rows of each backlog, for a quick look
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = rows_scale)]
    pub(crate) rows_scale: f64,
    /// How long latency is measured at each rate
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(crate) secs: Duration,
    /// Load before that, not counted
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) warm_secs: Duration,
    /// How long an idle relay is watched
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) idle_secs: Duration,
    /// Also write every single run there
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum What {
    /// Drain into nothing, next to pg_recvlogical
    Drain,
    /// Drain into Kafka
    Kafka,
    /// From commit to consumer, next to producing directly
    Latency,
    /// What comes twice after SIGKILL and SIGTERM
    Crash,
    /// From the kill of a relay to the first record of its standby
    TakeOver,
    /// Write-ahead log of an event, by each variant of the outbox and by an inbox
    Wal,
    All,
}

#[derive(Args, Debug)]
pub(crate) struct BenchRelayArgs {
    #[command(subcommand)]
    sink: RelaySink,
}

#[derive(Debug, Subcommand)]
enum RelaySink {
    /// `outboxd run`
    Kafka(RunArgs),
    /// The same once, without a Kafka
    Discard(RunArgs),
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(bench::run(args));
    // What still blocks, as a consumer does, is not worth waiting for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Dies with the benchmark that started it, however that ends.
pub(crate) fn run_relay(globals: &Globals, args: &BenchRelayArgs) -> anyhow::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match &args.sink {
        RelaySink::Kafka(args) => super::run::run(globals, args),
        RelaySink::Discard(args) => {
            let config = globals.load(args)?;
            runtime()?.block_on(discard::run(&config))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn rows_scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if scale > 0.0 && scale <= 1.0 => Ok(scale),
        _ => Err("expected a number above 0, and 1 at most".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(u64::from(seconds))),
        _ => Err("expected whole seconds, at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn parse(line: &str) -> Result<BenchArgs, clap::Error> {
        Line::try_parse_from(line.split_whitespace()).map(|line| line.args)
    }

    #[test]
    fn everything_is_measured_unless_told() {
        let args = parse("bench").unwrap();
        assert_eq!((args.what, args.rounds.get(), args.rows_scale), (What::All, 3, 1.0));
        assert_eq!(args.profile.len(), 4);
        assert_eq!(args.transport, [Transport::Tcp, Transport::Unix]);
        let args = parse("bench drain --profile p1,big --transport unix --rows-scale 0.1").unwrap();
        assert_eq!(args.profile, [ProfileName::P1, ProfileName::Big]);
        assert_eq!((args.what, args.transport), (What::Drain, vec![Transport::Unix]));
    }

    #[test]
    fn senseless_numbers_are_refused() {
        for line in ["--rounds 0", "--rows-scale 0", "--rows-scale 2", "--rows-scale x", "--secs 0"]
        {
            assert!(parse(&format!("bench {line}")).is_err(), "{line}");
        }
    }
}
