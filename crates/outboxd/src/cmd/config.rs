//! `outboxd config`: checks or shows the configuration as the other commands would read it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use outboxd_relay::config::Effective;

use crate::cli::{ConnectionArgs, Globals};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the configuration without connecting to anything; exit 78 if it is wrong
    Validate(ConnectionArgs),
    /// Print the effective configuration as TOML, with where each value came from, secrets as ***
    Print(ConnectionArgs),
}

pub(crate) fn run(globals: &Globals, args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.action {
        Action::Validate(connection) => {
            globals.load(connection)?;
            "the configuration is valid\n".to_owned()
        }
        Action::Print(connection) => Effective::read(&globals.inputs(connection)?)?.to_toml()?,
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
