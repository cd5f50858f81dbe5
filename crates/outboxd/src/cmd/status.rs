//! `outboxd status`: what the server and the progress topic say, whether or not a relay runs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use outboxd_core::stop::Stop;
use outboxd_relay::config::Config;
use outboxd_relay::control::ControlSession;
use outboxd_relay::daemon;
use outboxd_relay::status::{Question, StatusReport};
use outboxd_relay::wiring;

use super::run::block_on;
use crate::cli::{ConnectionArgs, Globals};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 3 when the relay is further behind, such as 60s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) fail_if_lag: Option<Duration>,
}

pub(crate) fn run(globals: &Globals, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let config = globals.load(&args.connection)?;
    let report = block_on(report(&config))??;
    if args.json {
        output::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        output::print(&report.to_string())?;
    }
    for problem in report.problems(args.fail_if_lag) {
        tracing::warn!(event = "status.problem", "{problem}");
    }
    Ok(ExitCode::from(report.exit_code(args.fail_if_lag)))
}

async fn report(config: &Config) -> anyhow::Result<StatusReport> {
    let source = &config.source;
    let params = wiring::connect_params(source, &source.url)?;
    let control = ControlSession::connect(&params).await.map_err(Stop::from)?;
    // Without Kafka the server's half is still worth having.
    let recorded = match daemon::recorded(config).await {
        Ok(recorded) => recorded,
        Err(stop) => {
            let detail = stop.detail.unwrap_or_default();
            tracing::warn!(
                event = "status.no_progress",
                error = stop.message,
                detail,
                "no progress"
            );
            None
        }
    };
    let question = Question {
        name: source.name.clone(),
        slot: source.slot.clone(),
        database: source.database.clone(),
        recorded: recorded.as_ref().map(Into::into),
    };
    Ok(StatusReport::read(&control, &question).await.map_err(Stop::from)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: StatusArgs,
    }

    #[test]
    fn a_lag_is_a_duration() {
        let parse = |line: &str| Line::try_parse_from(line.split_whitespace());
        let args = parse("status --json --fail-if-lag 60s").ok().unwrap().args;
        assert!(args.json);
        assert_eq!(args.fail_if_lag, Some(Duration::from_secs(60)));
        assert!(parse("status --fail-if-lag 60").is_err());
    }
}
