//! `outboxd migrate`: the tables, by the files that make them. Never run by any other command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use outboxd_core::stop::{Code, Stop};
use outboxd_relay::config::DatabaseConfig;
use outboxd_relay::control::ControlSession;
use outboxd_relay::migrate::print::{Format, Printed, print};
use outboxd_relay::migrate::status::Status;
use outboxd_relay::migrate::{
    Observed, Part, Plan, SchemaName, Step, Variant, Wish, apply, check_rights, plan,
};
use outboxd_relay::{setup, wiring};

use super::run::block_on;
use crate::cli::{DatabaseArgs, Globals};
use crate::output;

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Apply the files that are missing, each in a transaction of its own
    Up(UpArgs),
    /// Show which files were applied; exit 3 when one is missing or was changed
    Status(StatusArgs),
    /// Print the files for other tools, as on an empty database
    Print(PrintArgs),
}

#[derive(Args, Debug)]
struct UpArgs {
    #[command(flatten)]
    connection: DatabaseArgs,
    #[command(flatten)]
    wish: WishArgs,
    /// Also create the roles that are missing, and give them their rights
    #[arg(long)]
    roles: bool,
    /// Say what would be applied, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct StatusArgs {
    #[command(flatten)]
    connection: DatabaseArgs,
    #[command(flatten)]
    wish: WishArgs,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct PrintArgs {
    #[command(flatten)]
    wish: WishArgs,
    /// Also the roles, and their rights
    #[arg(long)]
    roles: bool,
    /// For which tool
    #[arg(long, value_enum, default_value = "sql")]
    format: FormatName,
    /// Write a file for each there, instead of printing all of them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct WishArgs {
    /// How outbox.events is made [default: the one that is there, or rotating]
    #[arg(long, value_enum)]
    variant: Option<VariantName>,
    /// Only this part
    #[arg(long, value_enum)]
    only: Option<PartName>,
    /// Schema of that part, in place of outbox or inbox
    #[arg(long, value_name = "NAME", requires = "only")]
    schema: Option<SchemaName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VariantName {
    /// Partitions that are truncated in turn
    Rotating,
    /// One table, of which nothing is removed
    Plain,
    /// A table whose rows are deleted in the transaction that inserts them
    Transient,
    /// A view whose inserts are messages in the write-ahead log
    View,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum PartName {
    Outbox,
    DeadLetters,
    Inbox,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// Files in their order
    Sql,
    /// `V<version>__<name>.sql`
    Flyway,
    /// `<version>_<name>.sql`
    Sqlx,
    /// `<version>_<name>/up.sql`
    Diesel,
}

pub(crate) fn run(globals: &Globals, args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        MigrateCommand::Up(args) => {
            let wish = args.wish.wish(args.roles)?;
            let config = globals.load_database(&args.connection)?;
            output::print(&block_on(up(&config, &wish, args.dry_run))??)?;
        }
        MigrateCommand::Status(args) => {
            let wish = args.wish.wish(false)?;
            let config = globals.load_database(&args.connection)?;
            let status = block_on(status(&config, &wish))??;
            let text = if args.json {
                format!("{}\n", serde_json::to_string(&status)?)
            } else {
                status.to_string()
            };
            output::print(&text)?;
            return Ok(ExitCode::from(if status.is_complete() { 0 } else { PROBLEMS }));
        }
        MigrateCommand::Print(args) => {
            let files = print(&args.wish.wish(args.roles)?, args.format.into())?;
            output::print(&match &args.out {
                Some(folder) => write(folder, &files)?,
                None => files.iter().map(shown).collect(),
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(config: &DatabaseConfig, wish: &Wish, dry_run: bool) -> anyhow::Result<String> {
    let session = connect(config).await?;
    if !dry_run {
        setup::lock(&session).await.map_err(Stop::from)?;
    }
    let observed = Observed::read(&session, wish).await.map_err(Stop::from)?;
    let plan = plan(wish, &observed)?;
    check_rights(&plan, &observed)?;
    if !dry_run {
        apply::apply(&session, &plan).await?;
    }
    Ok(said(&plan, dry_run))
}

async fn status(config: &DatabaseConfig, wish: &Wish) -> anyhow::Result<Status> {
    let session = connect(config).await?;
    let observed = Observed::read(&session, wish).await.map_err(Stop::from)?;
    Ok(Status::of(wish, &observed)?)
}

async fn connect(config: &DatabaseConfig) -> Result<ControlSession, Stop> {
    let params = wiring::connect_params(&config.source, &config.source.url)?;
    ControlSession::connect(&params).await.map_err(Stop::from)
}

fn said(plan: &Plan, dry_run: bool) -> String {
    if plan.is_empty() {
        return "nothing to do\n".to_owned();
    }
    let line = |step: &Step| {
        let done = match (dry_run, step.is_found) {
            (false, false) => "applied",
            (false, true) => "found",
            (true, false) => "would apply",
            (true, true) => "would note",
        };
        format!("{done}  {}  {}\n", step.migration.name, step.migration.what)
    };
    plan.steps().map(line).collect()
}

fn shown(file: &Printed) -> String {
    format!("-- {}\n{}\n", file.path.display(), file.text)
}

/// A file that is there with another content is somebody's work.
fn write(folder: &Path, files: &[Printed]) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in files {
        let path = folder.join(&file.path);
        let shown = path.display();
        let done = match fs::read_to_string(&path) {
            Ok(found) if found == file.text => "unchanged",
            Ok(_) => {
                let message = format!("{shown} exists, with another content");
                return Err(Stop::new(Code::Config, message)
                    .hint("move it away, or print to another folder")
                    .into());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).with_context(|| format!("create {shown}"))?;
                }
                fs::write(&path, &file.text).with_context(|| format!("write {shown}"))?;
                "written"
            }
            Err(error) => return Err(error).with_context(|| format!("read {shown}")),
        };
        text.push_str(&format!("{done}  {shown}\n"));
    }
    Ok(text)
}

impl WishArgs {
    fn wish(&self, roles: bool) -> Result<Wish, Stop> {
        if self.only == Some(PartName::DeadLetters) && self.schema.is_some() {
            return Err(Stop::new(Code::Config, "dead letters have no choice of schema")
                .detail("every relay looks for outbox.dead_letters")
                .hint("leave --schema out"));
        }
        Ok(Wish {
            parts: self.only.map_or(Part::ALL.to_vec(), |part| vec![part.into()]),
            variant: self.variant.map(Variant::from),
            schema: self.schema.clone(),
            roles,
        })
    }
}

impl From<VariantName> for Variant {
    fn from(name: VariantName) -> Self {
        match name {
            VariantName::Rotating => Self::Rotating,
            VariantName::Plain => Self::Plain,
            VariantName::Transient => Self::Transient,
            VariantName::View => Self::View,
        }
    }
}

impl From<PartName> for Part {
    fn from(name: PartName) -> Self {
        match name {
            PartName::Outbox => Self::Outbox,
            PartName::DeadLetters => Self::DeadLetters,
            PartName::Inbox => Self::Inbox,
        }
    }
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Sql => Self::Sql,
            FormatName::Flyway => Self::Flyway,
            FormatName::Sqlx => Self::Sqlx,
            FormatName::Diesel => Self::Diesel,
        }
    }
}

const PROBLEMS: u8 = 3;
