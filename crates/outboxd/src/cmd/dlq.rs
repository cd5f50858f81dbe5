//! `outboxd dlq`: look at what could not be published, have it published again, or give it up.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use outboxd_core::stop::Stop;
use outboxd_relay::config::Config;
use outboxd_relay::control::ControlSession;
use outboxd_relay::dead_letters::operator::{Letter, Operator, Selection};
use outboxd_relay::wiring;

use super::run::block_on;
use crate::cli::{ConnectionArgs, Globals};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// What is parked, in the order of the stream
    List(ListArgs),
    /// All about one event
    Show(ShowArgs),
    /// Have events published again, with all that waits behind them
    Retry(AskArgs),
    /// Give events up; what waits behind them is published
    Discard(DiscardArgs),
    /// Print events with their values, one JSON object a line
    Export(ListArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only rows in this state: dead, parked, retrying, published, discarded
    #[arg(long)]
    state: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: i64,
    /// Print as JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Number of the row
    id: i64,
}

#[derive(Args, Debug)]
struct AskArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Numbers of the rows
    ids: Vec<i64>,
    #[command(flatten)]
    filter: FilterArgs,
    /// All that can be
    #[arg(long, conflicts_with_all = ["ids", "topic", "key"])]
    all: bool,
    /// Why, for the record
    #[arg(long)]
    note: Option<String>,
}

#[derive(Args, Debug)]
struct DiscardArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Say what would be given up, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it: the events will never be published
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

#[derive(Args, Debug)]
struct FilterArgs {
    /// Only events for this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only events with this key
    #[arg(long)]
    key: Option<String>,
}

pub(crate) fn run(globals: &Globals, args: &DlqArgs) -> anyhow::Result<ExitCode> {
    let connection = match &args.command {
        DlqCommand::List(args) | DlqCommand::Export(args) => &args.connection,
        DlqCommand::Show(args) => &args.connection,
        DlqCommand::Retry(args) => &args.connection,
        DlqCommand::Discard(args) => &args.ask.connection,
    };
    let config = globals.load(connection)?;
    let text = block_on(carry_out(&config, &args.command))??;
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(config: &Config, command: &DlqCommand) -> anyhow::Result<String> {
    let params = wiring::connect_params(&config.source, &config.source.url)?;
    let session = ControlSession::connect(&params).await.map_err(Stop::from)?;
    let by = params.user.as_str();
    let operator = Operator { session: &session, relay: &config.source.name, by };
    match command {
        DlqCommand::List(args) => list(&operator, args).await,
        DlqCommand::Show(args) => show(&operator, args.id).await,
        DlqCommand::Export(args) => export(&operator, args).await,
        DlqCommand::Retry(args) => {
            let selection = args.selection()?;
            let asked =
                operator.retry(&selection, args.note.as_deref()).await.map_err(Stop::from)?;
            explain(&operator, &selection, &asked, "retried").await?;
            Ok(format!("{} to be published by the active relay\n", count(&asked)))
        }
        DlqCommand::Discard(args) => discard(&operator, args).await,
    }
}

async fn list(operator: &Operator<'_>, args: &ListArgs) -> anyhow::Result<String> {
    let letters = operator.list(&args.selection(), args.limit).await.map_err(Stop::from)?;
    if args.json {
        return lines(letters.iter().map(serde_json::to_value));
    }
    let mut text = format!("{}\n", if letters.is_empty() { "nothing is parked" } else { HEAD });
    for letter in &letters {
        let Letter { id, state, kind, topic, key, event_id, .. } = letter;
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let (topic, key, event) = (or_none(topic), or_none(key), or_none(event_id));
        let at = &letter.first_failed_at;
        writeln!(text, "{id:>8}  {state:<10} {kind:<18} {topic}  {key}  {event}  {at}")?;
    }
    Ok(text)
}

async fn show(operator: &Operator<'_>, id: i64) -> anyhow::Result<String> {
    let letter = one(operator, id).await?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&letter)?))
}

async fn discard(operator: &Operator<'_>, args: &DiscardArgs) -> anyhow::Result<String> {
    let selection = args.ask.selection()?;
    if args.dry_run {
        let letters = operator.list(&selection, i64::MAX).await.map_err(Stop::from)?;
        let ids: Vec<i64> = letters.iter().filter(|one| one.is_open()).map(|one| one.id).collect();
        explain(operator, &selection, &ids, "discarded").await?;
        return Ok(format!("{} would be given up\n", count(&ids)));
    }
    ensure!(args.yes, "this gives events up for good: say --yes, or try --dry-run");
    let note = args.ask.note.as_deref();
    let asked = operator.discard(&selection, note).await.map_err(Stop::from)?;
    explain(operator, &selection, &asked, "discarded").await?;
    Ok(format!("{} given up\n", count(&asked)))
}

async fn export(operator: &Operator<'_>, args: &ListArgs) -> anyhow::Result<String> {
    let mut objects = Vec::new();
    for letter in operator.list(&args.selection(), args.limit).await.map_err(Stop::from)? {
        let value = operator.value(letter.id).await.map_err(Stop::from)?;
        let mut object = serde_json::to_value(&letter)?;
        object["value"] = output::readable(value);
        objects.push(Ok(object));
    }
    lines(objects.into_iter())
}

/// Rows that were named and not changed are an error that says why.
async fn explain(
    operator: &Operator<'_>,
    selection: &Selection,
    asked: &[i64],
    done: &str,
) -> anyhow::Result<()> {
    if let Some(id) = selection.ids.iter().find(|id| !asked.contains(id)) {
        let letter = one(operator, *id).await?;
        match (letter.state.as_str(), letter.parked_behind) {
            ("parked", Some(head)) => bail!("row {id} was not {done}: it waits behind row {head}"),
            ("dead", _) => bail!(
                "row {id} was not {done}: it does not hold the whole event, which still stands in \
                 the outbox table"
            ),
            (state, _) => bail!("row {id} was not {done}: it is {state}"),
        }
    }
    ensure!(!asked.is_empty(), "there was nothing to be {done}");
    Ok(())
}

async fn one(operator: &Operator<'_>, id: i64) -> anyhow::Result<Letter> {
    let selection = Selection { ids: vec![id], ..Selection::default() };
    let letter = operator.list(&selection, 1).await.map_err(Stop::from)?.pop();
    letter.with_context(|| format!("relay {} has no dead letter {id}", operator.relay))
}

impl ListArgs {
    fn selection(&self) -> Selection {
        Selection { ids: Vec::new(), state: self.state.clone(), ..self.filter.selection() }
    }
}

impl AskArgs {
    fn selection(&self) -> anyhow::Result<Selection> {
        let selection = Selection { ids: self.ids.clone(), ..self.filter.selection() };
        let chosen = !self.ids.is_empty() || selection.topic.is_some() || selection.key.is_some();
        ensure!(chosen || self.all, "name rows, a --topic or a --key, or say --all");
        Ok(selection)
    }
}

impl FilterArgs {
    fn selection(&self) -> Selection {
        Selection {
            topic: self.topic.clone(),
            key: self.key.clone().map(String::into_bytes),
            ..Selection::default()
        }
    }
}

fn lines(
    objects: impl Iterator<Item = serde_json::Result<serde_json::Value>>,
) -> anyhow::Result<String> {
    let mut text = String::new();
    for object in objects {
        writeln!(text, "{}", object?)?;
    }
    Ok(text)
}

fn count(ids: &[i64]) -> String {
    match ids.len() {
        1 => "1 event".to_owned(),
        several => format!("{several} events"),
    }
}

const HEAD: &str = "      id  state      kind               topic  key  event id  parked at";
