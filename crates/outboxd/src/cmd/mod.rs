//! One module per command: its arguments, and the function that runs it.

pub(crate) mod completions;
pub(crate) mod config;
#[cfg_attr(not(test), expect(dead_code, reason = "becomes a command with the run loop"))]
mod run;
#[cfg_attr(not(test), expect(dead_code, reason = "becomes a command with the set-up"))]
mod setup;
#[cfg_attr(not(test), expect(dead_code, reason = "becomes a command with the status report"))]
mod status;
pub(crate) mod version;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

pub(crate) fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { globals, command } = cli;
    match command {
        Command::Config(args) => config::run(&globals, &args),
        Command::Version(args) => version::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
