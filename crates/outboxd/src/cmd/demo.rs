//! `outboxd demo`

use std::hash::{BuildHasher, RandomState};
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;

use crate::demo::{self, BrokerChoice, Ending, Options, Service, Story, Style, Verdict};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// How many orders come in, 20 to 20000
    #[arg(long, value_name = "N", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(i64::from(demo::ORDERS_MIN)..=i64::from(demo::ORDERS_MAX)))]
    orders: u32,
    /// Chooses what happens to which order; without it every run has a seed of its own, and says it
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Do without outbox, relay and inbox: Kafka is called beside the transaction
    #[arg(long)]
    naive: bool,
    /// A server of yours (postgres://…) instead of an embedded Postgres; the demo makes two databases
    /// of its own there and removes them
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Brokers of yours instead of the embedded one; the demo makes topics of its own and deletes
    /// them, and does not stop the brokers
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "kafka_sandbox")]
    kafka: Option<String>,
    /// Start a real Kafka instead (needs Java 17, and Maven the first time)
    #[arg(long)]
    kafka_sandbox: bool,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DemoServiceArgs {
    service: Service,
}

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let options = Options {
        orders: args.orders,
        seed: args.seed.unwrap_or_else(|| RandomState::new().hash_one(()) >> 48),
        style: if args.naive { Style::Naive } else { Style::Outbox },
        database_url: args.database_url.clone(),
        broker: match &args.kafka {
            Some(bootstrap) => BrokerChoice::Yours(bootstrap.clone()),
            None if args.kafka_sandbox => BrokerChoice::Sandbox,
            None => BrokerChoice::Embedded,
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

/// One of the demo's services, in a process of its own.
pub(crate) fn run_service(args: &DemoServiceArgs) -> anyhow::Result<ExitCode> {
    super::run::runtime()?.block_on(demo::serve(args.service))?;
    Ok(ExitCode::SUCCESS)
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
        assert!(args.orders == 200 && args.kafka.is_none() && !args.kafka_sandbox && !args.json);
        assert!(parse("demo --kafka a:9092 --kafka-sandbox").is_err());
        assert!(parse("demo --orders 19").is_err() && parse("demo --orders 20001").is_err());
    }
}
