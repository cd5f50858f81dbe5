//! `outboxd demo`

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;

use crate::demo::{self, BrokerChoice, Ending, Options, Story, Verdict};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// How many orders come in, 200 a second
    #[arg(long, value_name = "N", default_value_t = 2_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    orders: u32,
    /// A database of yours (postgres://…) instead of an embedded Postgres; the demo works in a
    /// schema of its own and removes it
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Brokers of yours instead of the in-process one; the demo makes topics of its own and deletes
    /// them
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "kafka_sandbox")]
    kafka: Option<String>,
    /// Start a real Kafka instead (needs Java 17, and Maven the first time)
    #[arg(long)]
    kafka_sandbox: bool,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let options = Options {
        orders: args.orders,
        database_url: args.database_url.clone(),
        broker: match &args.kafka {
            Some(bootstrap) => BrokerChoice::Yours(bootstrap.clone()),
            None if args.kafka_sandbox => BrokerChoice::Sandbox,
            None => BrokerChoice::InProcess,
        },
    };
    let story = Story::begin();
    let ending = super::run::runtime()?.block_on(demo::run(&options, &story))?;
    drop(story);
    let (verdict, removed) = match ending {
        Ending::Judged(verdict, removed) => (verdict, removed),
        Ending::Interrupted(status) => return Ok(ExitCode::from(status)),
    };
    print(&verdict, args.json)?;
    removed?;
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}

fn print(verdict: &Verdict, json: bool) -> anyhow::Result<()> {
    let text = match json {
        true => format!("{}\n", serde_json::to_string(verdict)?),
        false => demo::table(verdict, io::stdout().is_terminal()),
    };
    Ok(output::print(&text)?)
}

/// Checks found problems.
const BROKEN: u8 = 3;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: DemoArgs,
    }

    #[test]
    fn the_broker_is_chosen_once() {
        let parse = |line: &str| Line::try_parse_from(line.split_whitespace());
        let args = parse("demo").ok().unwrap().args;
        assert!(args.orders == 2_000 && args.kafka.is_none() && !args.kafka_sandbox && !args.json);
        assert!(parse("demo --kafka a:9092 --kafka-sandbox").is_err());
        assert!(parse("demo --orders 0").is_err());
    }
}
