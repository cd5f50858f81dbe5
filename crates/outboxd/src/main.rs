//! The command line of outboxd. Data goes to stdout, everything else to stderr, and a failure ends
//! in one report with a stable code and its exit status.

#[cfg(feature = "demo")]
mod bench;
mod cli;
mod cmd;
#[cfg(feature = "demo")]
mod demo;
mod inbox;
mod logging;
mod output;
mod panics;
mod report;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cmd::dispatch(cli).unwrap_or_else(|error| report::report(&error))
}
