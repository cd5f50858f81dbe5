//! `outboxd setup`: tables, publication, progress topic, slot.

use std::process::ExitCode;

use clap::Args;
use outboxd_core::lsn::Lsn;
use outboxd_core::relay::Goal;
use outboxd_core::stop::{Code, Stop};
use outboxd_relay::config::Config;
use outboxd_relay::control::ControlSession;
use outboxd_relay::daemon;
use outboxd_relay::setup::{Observed, SetupPlan, Wish, apply_statements, lock, plan};
use outboxd_relay::wiring::{self, Wishes};

use super::run::block_on;
use crate::cli::{ConnectionArgs, Globals};
use crate::{output, signals};

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
    /// Also create the roles outbox_owner, outbox_application and outbox_relay
    #[arg(long)]
    pub(crate) roles: bool,
}

pub(crate) fn run(globals: &Globals, args: &SetupArgs) -> anyhow::Result<ExitCode> {
    let config = globals.load(&args.connection)?;
    block_on(set_up(&config, args))??;
    Ok(ExitCode::SUCCESS)
}

async fn set_up(config: &Config, args: &SetupArgs) -> anyhow::Result<()> {
    let source = &config.source;
    let params = wiring::connect_params(source, &source.url)?;
    let control = ControlSession::connect(&params).await.map_err(Stop::from)?;
    let wish = wish(config, args)?;
    if args.print {
        let observed = Observed::read(&control, &wish).await.map_err(Stop::from)?;
        return Ok(output::print(&plan(&wish, &observed)?.to_string())?);
    }
    lock(&control).await.map_err(Stop::from)?;
    let observed = Observed::read(&control, &wish).await.map_err(Stop::from)?;
    let plan = plan(&wish, &observed)?;
    apply_statements(&control, &plan).await.map_err(Stop::from)?;
    record(config, args).await?;
    tell(config, &plan)
}

/// Topic, slot and first position: the way a relay's first run takes, up to the stream.
async fn record(config: &Config, args: &SetupArgs) -> anyhow::Result<()> {
    let wishes = Wishes {
        adopt_slot: args.adopt_slot,
        adopt_from: args.from_lsn,
        no_wait: true,
        fail_fast: true,
        ..Wishes::default()
    };
    match daemon::run(config, wishes, Goal::SetUp, signals::shutdown()).await {
        // A relay that is at work has all of it.
        Err(stop) if stop.code == Code::SlotInUse => Ok(()),
        result => Ok(result?),
    }
}

fn wish(config: &Config, args: &SetupArgs) -> Result<Wish, Stop> {
    let source = &config.source;
    Ok(Wish {
        database: source.database.clone(),
        tables: wiring::tables(config)?,
        columns: wiring::columns(config),
        publication: source.publication.clone(),
        slot: source.slot.clone(),
        failover: source.failover.unwrap_or(true),
        streaming_role: wiring::connect_params(source, &source.replication_url)?.user,
        progress_topic: Some(config.delivery.progress.topic.clone()),
        roles: args.roles,
    })
}

fn tell(config: &Config, plan: &SetupPlan) -> anyhow::Result<()> {
    for note in &plan.notes {
        tracing::info!(event = "setup.note", "{note}");
    }
    let source = &config.source;
    let mut text = String::new();
    for statement in &plan.statements {
        text.push_str(&format!("created  {}\n", statement.what));
    }
    text.push_str(&format!(
        "ready    slot {}, publication {}, progress topic {}\n",
        source.slot, source.publication, config.delivery.progress.topic
    ));
    Ok(output::print(&text)?)
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
