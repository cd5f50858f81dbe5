//! Arguments of `outboxd status`.

use std::time::Duration;

use clap::Args;

use crate::cli::ConnectionArgs;

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
