//! `outboxd run`, the relay.

use std::future::Future;
use std::process::ExitCode;

use clap::Args;
use outboxd_core::relay::Goal;
use outboxd_relay::config::Flags;
use outboxd_relay::daemon;
use outboxd_relay::wiring::Wishes;

use crate::cli::{AddFlags, ConnectionArgs, Globals};
use crate::signals;

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Create the slot on the first run
    #[arg(long)]
    create_slot: bool,
    /// Take over a slot that exists without recorded progress, at the slot's position
    #[arg(long)]
    pub(crate) adopt_slot: bool,
    /// Go on although the publication was changed, after a look at what it missed
    #[arg(long)]
    pub(crate) accept_publication: bool,
    /// Publish up to the WAL position at the start, then exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Exit with 11 instead of standing by while another relay is active
    #[arg(long)]
    pub(crate) no_wait: bool,
}

impl AddFlags for RunArgs {
    fn add_to(&self, flags: &mut Flags) {
        self.connection.add_to(flags);
        if self.create_slot {
            flags.set("--create-slot", "source.create_slot", true);
        }
    }
}

pub(crate) fn run(globals: &Globals, args: &RunArgs) -> anyhow::Result<ExitCode> {
    let config = globals.load(args)?;
    let goal = if args.once { Goal::Once } else { Goal::Run };
    let wishes = Wishes {
        adopt_slot: args.adopt_slot,
        adopt_from: None,
        accept_publication: args.accept_publication,
        no_wait: args.no_wait,
        fail_fast: false,
    };
    block_on(daemon::run(&config, wishes, goal, signals::shutdown()))??;
    Ok(ExitCode::SUCCESS)
}

/// What still blocks at the end, such as a question to brokers that are away, is not waited for.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(outcome)
}

/// One thread for the relay's task; what blocks has threads of its own.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use outboxd_relay::config::{Config, Inputs};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RunArgs,
    }

    #[test]
    fn flags_reach_the_configuration() {
        let line = "run --database-url postgres://db/shop --kafka a:1,b:2 --table x.a --table x.b \
                    --create-slot --once --no-wait";
        let args = Line::parse_from(line.split_whitespace()).args;
        assert!(args.once && args.no_wait && !args.adopt_slot && !args.accept_publication);
        let mut inputs = Inputs::default();
        args.add_to(&mut inputs.flags);
        let config = Config::load(&inputs).unwrap();
        assert_eq!(config.source.database, "shop");
        assert_eq!(config.source.tables, ["x.a", "x.b"]);
        assert_eq!(config.kafka.bootstrap_servers, ["a:1", "b:2"]);
        assert!(config.source.create_slot);
    }
}
