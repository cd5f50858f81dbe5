//! `outboxd inbox`: look at messages that a consumer could not handle, have them handled again, or
//! give them up.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use outboxd_core::stop::Stop;
use outboxd_relay::config::SourceConfig;
use outboxd_relay::control::ControlSession;
use outboxd_relay::wiring;

use super::run::block_on;
use crate::cli::{DatabaseArgs, Globals};
use crate::inbox::{Entry, Operator, Selection};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct InboxArgs {
    #[command(subcommand)]
    command: InboxCommand,
}

#[derive(Debug, Subcommand)]
enum InboxCommand {
    /// What is not completed, in the order in which it was first seen
    List(ListArgs),
    /// All about one message
    Show(ShowArgs),
    /// Make messages due again, with all their attempts before them
    Retry(RetryArgs),
    /// Give messages up: they count as handled
    Discard(DiscardArgs),
    /// How many messages each consumer has in each state
    Stats(StatsArgs),
    /// Forget messages that are older
    Purge(PurgeArgs),
}

#[derive(Args, Debug)]
struct FilterArgs {
    /// Only messages of this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Only messages of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only messages in this state
    #[arg(long)]
    state: Option<State>,
}

/// The states in which a message is not completed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Failed,
    Dead,
    Processing,
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    filter: FilterArgs,
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
    database: DatabaseArgs,
    /// Id of the message
    id: String,
    /// That of this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// With key, headers and payload, which take the right to read them
    #[arg(long)]
    payload: bool,
}

#[derive(Args, Debug)]
struct ChoiceArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Ids of the messages
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// All that can be
    #[arg(long, conflicts_with_all = ["ids", "consumer", "topic", "state"])]
    all: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct RetryArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
}

#[derive(Args, Debug)]
struct DiscardArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Do it: the messages will have no effect
    #[arg(long)]
    yes: bool,
}

#[derive(Args, Debug)]
struct StatsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Print as JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct PurgeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How old: 7d, 36h; a day at least. A message that comes again later is handled again
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// Also messages that failed or are dead
    #[arg(long, requires = "yes")]
    unresolved: bool,
    /// Do it: with --unresolved, messages are lost that had no effect
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(globals: &Globals, args: &InboxArgs) -> anyhow::Result<ExitCode> {
    let source = globals.load_database(args.database())?.source;
    let text = block_on(carry_out(&source, &args.command))??;
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(source: &SourceConfig, command: &InboxCommand) -> anyhow::Result<String> {
    let params = wiring::connect_params(source, &source.url)?;
    let session = ControlSession::connect(&params).await.map_err(Stop::from)?;
    let operator = Operator { session: &session, by: params.user.as_str() };
    match command {
        InboxCommand::List(args) => list(&operator, args).await,
        InboxCommand::Show(args) => show(&operator, args).await,
        InboxCommand::Retry(RetryArgs { choice }) => {
            let done = if choice.dry_run { "would be retried" } else { "due now" };
            change(&operator, choice, Change::Retry, done).await
        }
        InboxCommand::Discard(DiscardArgs { choice, yes }) => {
            ensure!(*yes || choice.dry_run, "this gives messages up: say --yes, or try --dry-run");
            let done = if choice.dry_run { "would be given up" } else { "given up" };
            change(&operator, choice, Change::Discard, done).await
        }
        InboxCommand::Stats(args) => stats(&operator, args).await,
        InboxCommand::Purge(args) => {
            let purged = operator.purge(args.older_than, args.unresolved).await?;
            Ok(format!("{}\n", serde_json::to_string(&purged)?))
        }
    }
}

async fn list(operator: &Operator<'_>, args: &ListArgs) -> anyhow::Result<String> {
    let entries = operator.list(&args.filter.selection(), args.limit).await?;
    if args.json { lines(&entries) } else { table(&entries) }
}

async fn show(operator: &Operator<'_>, args: &ShowArgs) -> anyhow::Result<String> {
    check_id(&args.id)?;
    let entries = operator.show(args.consumer.as_deref(), &args.id).await?;
    ensure!(!entries.is_empty(), "no consumer has seen message {}", args.id);
    let mut text = String::new();
    for entry in entries {
        let mut object = serde_json::to_value(&entry)?;
        if args.payload {
            let content = operator.content(&entry.consumer, &args.id).await?;
            object["key"] = output::readable(content.key);
            object["headers"] = content.headers;
            object["payload"] = output::readable(content.payload);
        }
        writeln!(text, "{}", serde_json::to_string_pretty(&object)?)?;
    }
    Ok(text)
}

#[derive(Clone, Copy)]
enum Change {
    Retry,
    Discard,
}

async fn change(
    operator: &Operator<'_>,
    choice: &ChoiceArgs,
    change: Change,
    done: &str,
) -> anyhow::Result<String> {
    let selection = choice.selection()?;
    let changed = match change {
        _ if choice.dry_run => {
            let all = operator.list(&selection, i64::MAX).await?;
            all.into_iter().filter(|entry| entry.state != "PROCESSING").collect()
        }
        Change::Retry => operator.retry(&selection).await?,
        Change::Discard => operator.discard(&selection).await?,
    };
    let is_changed = |id: &String| changed.iter().any(|entry| entry.message_id == *id);
    if let Some(id) = selection.ids.iter().find(|id| !is_changed(id)) {
        let known = operator.show(selection.consumer.as_deref(), id).await?;
        let states: Vec<&str> = known.iter().map(|entry| entry.state.as_str()).collect();
        bail!("message {id} is neither failed nor dead: {}", said(&states));
    }
    let messages = if changed.len() == 1 { "message" } else { "messages" };
    Ok(format!("{} {messages} {done}\n", changed.len()))
}

async fn stats(operator: &Operator<'_>, args: &StatsArgs) -> anyhow::Result<String> {
    let stats = operator.stats(args.consumer.as_deref()).await?;
    if args.json {
        return lines(&stats);
    }
    let mut text = format!("{}\n", if stats.is_empty() { "nothing was handled" } else { STATS });
    for one in &stats {
        let (completed, processing) = (one.completed, one.processing);
        let next = one.next_attempt_at.as_deref().unwrap_or("-");
        writeln!(
            text,
            "{completed:>10}  {processing:>10}  {:>8}  {:>8}  {:>8}  {next:<32}  {}",
            one.failed, one.due, one.dead, one.consumer
        )?;
    }
    Ok(text)
}

fn table(entries: &[Entry]) -> anyhow::Result<String> {
    let mut text = format!("{}\n", if entries.is_empty() { "everything is handled" } else { HEAD });
    for entry in entries {
        let Entry { consumer, message_id, state, attempts, topic, .. } = entry;
        let next = entry.next_attempt_at.as_deref().unwrap_or("-");
        // The first line, since words of an error may have many.
        let error = entry.last_error.as_deref().unwrap_or("-").lines().next().unwrap_or("-");
        writeln!(
            text,
            "{message_id}  {state:<10}  {attempts:>8}  {next:<32}  {consumer}  {topic}  {error}"
        )?;
    }
    Ok(text)
}

fn lines(objects: &[impl serde::Serialize]) -> anyhow::Result<String> {
    let mut text = String::new();
    for object in objects {
        writeln!(text, "{}", serde_json::to_string(object)?)?;
    }
    Ok(text)
}

fn said(states: &[&str]) -> String {
    if states.is_empty() { "nobody has seen it".to_owned() } else { states.join(", ") }
}

/// Before the server sees it: its words for a bad uuid name no message.
fn check_id(id: &str) -> anyhow::Result<()> {
    let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
    let shape =
        digits == 32 && id.len() == 36 && id.bytes().filter(|&byte| byte == b'-').count() == 4;
    ensure!(
        shape,
        "{id:?} is no id of a message: write it as 01234567-89ab-cdef-0123-456789abcdef"
    );
    Ok(())
}

impl InboxArgs {
    fn database(&self) -> &DatabaseArgs {
        match &self.command {
            InboxCommand::List(args) => &args.database,
            InboxCommand::Show(args) => &args.database,
            InboxCommand::Retry(args) => &args.choice.database,
            InboxCommand::Discard(args) => &args.choice.database,
            InboxCommand::Stats(args) => &args.database,
            InboxCommand::Purge(args) => &args.database,
        }
    }
}

impl ChoiceArgs {
    fn selection(&self) -> anyhow::Result<Selection> {
        for id in &self.ids {
            check_id(id)?;
        }
        let FilterArgs { consumer, topic, state } = &self.filter;
        let chosen =
            !self.ids.is_empty() || consumer.is_some() || topic.is_some() || state.is_some();
        ensure!(
            chosen || self.all,
            "name messages, a --consumer, --topic or --state, or say --all"
        );
        let ids = self.ids.iter().map(|id| id.to_ascii_lowercase()).collect();
        Ok(Selection { ids, ..self.filter.selection() })
    }
}

impl FilterArgs {
    fn selection(&self) -> Selection {
        let state = self.state.map(|state| {
            let name = match state {
                State::Failed => "FAILED",
                State::Dead => "DEAD",
                State::Processing => "PROCESSING",
            };
            name.to_owned()
        });
        Selection {
            consumer: self.consumer.clone(),
            topic: self.topic.clone(),
            state,
            ids: Vec::new(),
        }
    }
}

const HEAD: &str = "message                               state       attempts  next attempt                      \
                    consumer  topic  error";
const STATS: &str = " completed  processing    failed       due      dead  next attempt                      consumer";
