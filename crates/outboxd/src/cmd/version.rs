//! `outboxd version`

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::output;

#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// The names are stable: scripts read them.
#[derive(Serialize)]
struct Version {
    version: &'static str,
    librdkafka: String,
}

pub(crate) fn run(args: &VersionArgs) -> anyhow::Result<ExitCode> {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let version = Version { version: env!("CARGO_PKG_VERSION"), librdkafka };
    let text = if args.json {
        serde_json::to_string(&version)?
    } else {
        format!("outboxd {} (librdkafka {})", version.version, version.librdkafka)
    };
    output::print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
