//! Logs on stderr: text for people, JSON for machines.

mod json;

use std::env;
use std::io::{self, IsTerminal};

use outboxd_relay::config::{LogConfig, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;

/// To be called once, by a command that logs.
pub(crate) fn init(config: &LogConfig) -> anyhow::Result<()> {
    let terminal = io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let colour = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(level(config.level))
        // What cannot be logged must not be told by a print that panics for the same reason.
        .log_internal_errors(false)
        .with_ansi(colour)
        .with_target(false);
    let result =
        if json { builder.event_format(json::Json).try_init() } else { builder.try_init() };
    result.map_err(|error| anyhow::anyhow!(error).context("cannot start logging"))
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
