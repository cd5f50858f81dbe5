//! Arguments of `outboxd run`, the relay.

use clap::Args;
use outboxd_relay::config::Flags;

use crate::cli::{AddFlags, ConnectionArgs};

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
