//! Arguments of `outboxd setup`: tables, publication, progress topic, slot.

use clap::Args;
use outboxd_core::lsn::Lsn;

use crate::cli::ConnectionArgs;

#[derive(Args, Debug)]
pub(crate) struct SetupArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Print the SQL, and change nothing
    #[arg(long)]
    pub(crate) print: bool,
    /// Take over a slot that exists without recorded progress
    #[arg(long)]
    pub(crate) adopt_slot: bool,
    /// Where to take it over, instead of at the slot's position
    #[arg(long, value_name = "LSN", requires = "adopt_slot")]
    pub(crate) from_lsn: Option<Lsn>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SetupArgs,
    }

    #[test]
    fn a_position_belongs_to_an_adopted_slot() {
        let parse = |line: &str| Line::try_parse_from(line.split_whitespace());
        let args = parse("setup --adopt-slot --from-lsn 1/2A").ok().unwrap().args;
        assert!(args.adopt_slot && !args.print);
        assert_eq!(args.from_lsn, Some(Lsn::new(0x1_0000_002A)));
        assert!(parse("setup --from-lsn 1/2A").is_err());
        assert!(parse("setup --adopt-slot --from-lsn x").is_err());
    }
}
