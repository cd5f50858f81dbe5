//! The command line as clap reads it: what every command shares, and the list of commands.

use std::env;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use outboxd_core::stop::Stop;
use outboxd_relay::config::{Config, DatabaseConfig, Flags, Inputs};

#[cfg(feature = "demo")]
use crate::cmd::bench::{BenchArgs, BenchRelayArgs};
use crate::cmd::completions::CompletionsArgs;
use crate::cmd::config::ConfigArgs;
#[cfg(feature = "demo")]
use crate::cmd::demo::{DemoArgs, DemoServiceArgs};
use crate::cmd::dlq::DlqArgs;
use crate::cmd::inbox::InboxArgs;
use crate::cmd::migrate::MigrateArgs;
use crate::cmd::run::RunArgs;
use crate::cmd::setup::SetupArgs;
use crate::cmd::slot::SlotArgs;
use crate::cmd::status::StatusArgs;
use crate::cmd::version::VersionArgs;
use crate::{logging, panics};

/// Relays a Postgres outbox table to Kafka from the write-ahead log.
#[derive(Debug, Parser)]
#[command(name = "outboxd", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Relay committed outbox rows to Kafka until told to stop
    Run(RunArgs),
    /// Create what is missing: table, publication, progress topic, slot
    Setup(SetupArgs),
    /// Create or look at the tables of outbox, dead letters and inbox, or print their SQL
    Migrate(MigrateArgs),
    /// Show positions, lag and slot health
    Status(StatusArgs),
    /// Look at the replication slot, or close a gap that a relay stopped for
    Slot(SlotArgs),
    /// Look at events that could not be published, retry them or give them up
    Dlq(DlqArgs),
    /// Look at messages that a consumer could not handle, retry them or give them up
    Inbox(InboxArgs),
    /// Show it at work: orders and payments, everything between them failing, and a verdict
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// A service of the demo, started by `demo`
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    DemoService(DemoServiceArgs),
    /// Check or show the configuration
    Config(ConfigArgs),
    /// Measure drain, latency and what a kill repeats, on servers of its own
    #[cfg(feature = "demo")]
    Bench(BenchArgs),
    /// A relay under measurement, started by `bench`
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    BenchRelay(BenchRelayArgs),
    /// Print the version
    Version(VersionArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

#[derive(Args, Debug)]
pub(crate) struct Globals {
    /// Configuration file (TOML) [env: OUTBOXD_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to log: text on a terminal and else JSON, or always one of them
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["auto", "text", "json"])]
    log_format: Option<String>,
    /// What to log
    #[arg(long, global = true, value_name = "LEVEL",
        value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
}

impl Globals {
    /// For every command that runs on a configuration: reads it, and starts logging as it says.
    pub(crate) fn load(&self, args: &impl AddFlags) -> anyhow::Result<Config> {
        let config = Config::load(&self.inputs(args)?)?;
        logging::init(&config.log)?;
        panics::end_the_process();
        tracing::debug!(event = "config.loaded", name = config.source.name, "configuration read");
        Ok(config)
    }

    /// The same for a command that has nothing to do with Kafka.
    pub(crate) fn load_database(&self, args: &impl AddFlags) -> anyhow::Result<DatabaseConfig> {
        let config = DatabaseConfig::load(&self.inputs(args)?)?;
        logging::init(&config.log)?;
        panics::end_the_process();
        Ok(config)
    }

    /// What the configuration is read from: this command line, the environment and the file.
    pub(crate) fn inputs(&self, args: &impl AddFlags) -> Result<Inputs, Stop> {
        let mut flags = Flags::default();
        args.add_to(&mut flags);
        if let Some(format) = &self.log_format {
            flags.set("--log-format", "log.format", format.as_str());
        }
        if let Some(level) = &self.log_level {
            flags.set("--log-level", "log.level", level.as_str());
        }
        Inputs::from_process(self.config.clone().or_else(config_from_environment), flags)
    }
}

/// Arguments that set something of the configuration.
pub(crate) trait AddFlags {
    fn add_to(&self, flags: &mut Flags);
}

/// The flags that say which database and which Kafka, shared by all commands that need them.
#[derive(Args, Debug, Default)]
pub(crate) struct ConnectionArgs {
    /// The database, postgres://user:password@host:5432/database [env: DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Kafka brokers to start from, separated by commas
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Outbox table; may be given several times
    #[arg(long = "table", value_name = "SCHEMA.TABLE")]
    tables: Vec<String>,
}

/// The flag for commands that look at the database alone.
#[derive(Args, Debug, Default)]
pub(crate) struct DatabaseArgs {
    /// The database, postgres://user:password@host:5432/database [env: DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl AddFlags for DatabaseArgs {
    fn add_to(&self, flags: &mut Flags) {
        if let Some(url) = &self.database_url {
            flags.set("--database-url", "source.url", url.as_str());
        }
    }
}

impl AddFlags for ConnectionArgs {
    fn add_to(&self, flags: &mut Flags) {
        if let Some(url) = &self.database_url {
            flags.set("--database-url", "source.url", url.as_str());
        }
        if let Some(kafka) = &self.kafka {
            flags.set("--kafka", "kafka.bootstrap_servers", kafka.as_str());
        }
        if !self.tables.is_empty() {
            flags.set("--table", "source.tables", self.tables.clone());
        }
    }
}

fn config_from_environment() -> Option<PathBuf> {
    env::var_os("OUTBOXD_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
