//! One module per command: its arguments, and the function that runs it.

#[cfg(feature = "demo")]
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
#[cfg(feature = "demo")]
pub(crate) mod demo;
pub(crate) mod dlq;
pub(crate) mod inbox;
pub(crate) mod migrate;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod slot;
pub(crate) mod status;
pub(crate) mod version;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

pub(crate) fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { globals, command } = cli;
    match command {
        Command::Run(args) => run::run(&globals, &args),
        Command::Setup(args) => setup::run(&globals, &args),
        Command::Migrate(args) => migrate::run(&globals, &args),
        Command::Status(args) => status::run(&globals, &args),
        Command::Slot(args) => slot::run(&globals, &args),
        Command::Dlq(args) => dlq::run(&globals, &args),
        Command::Inbox(args) => inbox::run(&globals, &args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(feature = "demo")]
        Command::DemoService(args) => demo::run_service(&args),
        Command::Config(args) => config::run(&globals, &args),
        #[cfg(feature = "demo")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "demo")]
        Command::BenchRelay(args) => bench::run_relay(&globals, &args),
        Command::Version(args) => version::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
