//! `outboxd slot`: what state the replication slot is in, and closing a gap from the outbox table.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use outboxd_relay::repair::{Order, Outcome, RepairReport, repair};
use outboxd_relay::slot_status::SlotStatus;

use super::run::block_on;
use crate::cli::{ConnectionArgs, Globals};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct SlotArgs {
    #[command(subcommand)]
    command: SlotCommand,
}

#[derive(Debug, Subcommand)]
enum SlotCommand {
    /// Show slot, recorded progress, and whether a relay would stream; exit 3 if it would stop
    Status(StatusArgs),
    /// Close a gap: publish stored rows again, and give the relay a slot to go on from
    Repair(RepairArgs),
}

#[derive(Args, Debug)]
struct StatusArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct RepairArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Publish rows from then on: 2026-11-21T10:00:00Z, or 6h for six hours ago
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it: publish rows again, and drop a slot that is of no use any more
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Repair although `slot status` finds nothing, after a relay stopped in its stream
    #[arg(long)]
    force: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(globals: &Globals, args: &SlotArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        SlotCommand::Status(args) => status(globals, args),
        SlotCommand::Repair(args) => run_repair(globals, args),
    }
}

fn status(globals: &Globals, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let config = globals.load(&args.connection)?;
    let status = block_on(SlotStatus::read(&config))??;
    let text = if args.json {
        format!("{}\n", serde_json::to_string(&status)?)
    } else {
        status.to_string()
    };
    output::print(&text)?;
    Ok(ExitCode::from(status.exit_code()))
}

fn run_repair(globals: &Globals, args: &RepairArgs) -> anyhow::Result<ExitCode> {
    let config = globals.load(&args.connection)?;
    let report = block_on(repair(&config, args.order()))??;
    let text = if args.json {
        format!("{}\n", serde_json::to_string(&report)?)
    } else {
        report.to_string()
    };
    output::print(&text)?;
    Ok(ExitCode::from(args.exit_code(&report)))
}

impl RepairArgs {
    fn order(&self) -> Order {
        let since_ms = self.since.map(|since| {
            let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        Order { since_ms, carry_out: self.yes, force: self.force }
    }

    /// A plan that was not only asked for, and not carried out, is a usage error.
    fn exit_code(&self, report: &RepairReport) -> u8 {
        if report.outcome != Outcome::Planned || self.dry_run {
            return 0;
        }
        tracing::warn!(
            event = "repair.not_confirmed",
            "nothing was changed: give --yes to carry the plan out, or --dry-run only to see it"
        );
        USAGE
    }
}

/// A moment, or how long it is ago.
fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return before(SystemTime::now(), ago);
    }
    humantime::parse_rfc3339_weak(text).map_err(|_| {
        "expected a time such as 2026-11-21T10:00:00Z, or a duration such as 6h".into()
    })
}

fn before(now: SystemTime, ago: Duration) -> Result<SystemTime, String> {
    now.checked_sub(ago).ok_or_else(|| "that is before all time".to_owned())
}

const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RepairArgs,
    }

    #[test]
    fn since_is_a_moment_or_a_duration() {
        let parse = |since: &str| Line::try_parse_from(["repair", "--since", since]);
        let order = parse("2026-11-21T10:00:00.5Z").ok().unwrap().args.order();
        assert_eq!(order.since_ms, Some(1_795_255_200_500));
        let order = parse("2026-11-21 10:00:00").ok().unwrap().args.order();
        assert_eq!(order.since_ms, Some(1_795_255_200_000));
        let now = SystemTime::now();
        assert_eq!(before(now, Duration::from_secs(60)), Ok(now - Duration::from_secs(60)));
        assert!(parse("6h").is_ok());
        assert!(parse("yesterday").is_err());
    }

    #[test]
    fn nothing_is_carried_out_unless_told_so() {
        let order = |line: &str| {
            let line = Line::try_parse_from(line.split_whitespace());
            line.map(|line| line.args.order().carry_out)
        };
        assert_eq!(order("repair").ok(), Some(false));
        assert_eq!(order("repair --dry-run").ok(), Some(false));
        assert_eq!(order("repair --yes --force").ok(), Some(true));
        assert!(order("repair --yes --dry-run").is_err());
    }
}
