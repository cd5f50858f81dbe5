//! What is missing, decided from what was observed.

use outboxd_core::gate::Slot;
use outboxd_core::relation::{ColumnNames, TableName};
use outboxd_core::stop::{Code, Stop};

use super::observe::Observed;
use super::roles;
use super::sql::{self, identifier};
use crate::catalog::publication::{Coverage, Publication};
use crate::catalog::table::{ConfiguredTable, Kind, check_table_contract};
use crate::migrate::{self, Events, Part, Step, Variant};

/// The state to reach.
#[derive(Clone, Debug)]
pub struct Wish {
    pub database: String,
    pub tables: Vec<TableName>,
    pub columns: ColumnNames,
    pub publication: String,
    pub slot: String,
    /// Let standbys of the server have the slot as well; used from Postgres 17 on.
    pub failover: bool,
    /// The role that logs in to stream.
    pub streaming_role: String,
    /// `None`: the topic exists, or progress is kept in the slot.
    pub progress_topic: Option<String>,
    pub roles: bool,
}

/// The steps, in the order of the fields. Nothing in it: all is there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SetupPlan {
    pub statements: Vec<Statement>,
    pub progress_topic: Option<String>,
    /// The slot to create through the replication session.
    pub slot: Option<NewSlot>,
    /// The slot that exists. Whether it may be used is for the gate to say.
    pub existing_slot: Option<Slot>,
    /// What somebody should know or do beside it.
    pub notes: Vec<String>,
}

/// SQL to run, with a few words on what it makes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    pub what: String,
    pub sql: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewSlot {
    pub name: String,
    pub failover: bool,
}

/// Compares the wish with the server. Stops where something stands in the way that must not be
/// changed on its own.
pub fn plan(wish: &Wish, observed: &Observed) -> Result<SetupPlan, Stop> {
    check_server(wish, observed)?;
    let mut plan =
        SetupPlan { progress_topic: wish.progress_topic.clone(), ..SetupPlan::default() };
    check_tables(wish, observed)?;
    let files = migrate::plan(&files(wish, observed), &observed.migrations)?;
    plan.statements.extend(files.tables.iter().map(Statement::from));
    plan.statements.extend(publication(wish, observed, &mut plan.notes)?);
    if wish.roles {
        plan.statements.extend(roles::statements(wish, &files.rights));
    } else if observed.migrations.roles.is_empty() {
        plan.notes.push(roles::HINT.to_owned());
    }
    match &observed.slot {
        Some(slot) => plan.existing_slot = Some(slot.clone()),
        None => plan.slot = Some(new_slot(wish, observed)),
    }
    Ok(plan)
}

impl SetupPlan {
    /// Nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.progress_topic.is_none() && self.slot.is_none()
    }
}

fn check_server(wish: &Wish, observed: &Observed) -> Result<(), Stop> {
    observed.settings.check_wal_level()?;
    if observed.settings.in_recovery {
        return Err(Stop::new(Code::Permission, "the server takes no writes")
            .detail("it is a standby")
            .hint("point source.url to the primary"));
    }
    match &observed.streaming_role {
        Some(role) => role.check_replication()?,
        None => {
            let name = &wish.streaming_role;
            return Err(Stop::new(Code::Login, format!("there is no role {name:?}"))
                .hint(format!("create role {} login replication password '…'", identifier(name))));
        }
    }
    if observed.slot.is_none() {
        observed.capacity.check_free_slot()?;
        observed.capacity.check_free_walsender()?;
    }
    Ok(())
}

/// Only our own table is ever created; one that exists is taken as it is.
fn check_tables(wish: &Wish, observed: &Observed) -> Result<(), Stop> {
    let ours = our_table();
    let to_create = |table: &&ConfiguredTable| table.found.is_none() && table.name == ours;
    let others: Vec<_> =
        observed.tables.iter().filter(|table| !to_create(table)).cloned().collect();
    check_table_contract(&others, &wish.columns).map_err(|stop| match stop.code {
        Code::TableMissing => stop.hint(format!("create it first; setup creates {ours} only")),
        _ => stop,
    })
}

/// Dead letters of any table, and our own table unless somebody else made it: the plain one, if
/// there is none.
fn files(wish: &Wish, observed: &Observed) -> migrate::Wish {
    let everything = wish.everything_of_ours();
    let state = observed.migrations.schemas.values().next();
    let is_there = state.is_some_and(|state| state.events != Events::Missing);
    let is_ours =
        state.is_none_or(|state| state.events != Events::Other || state.variant().is_some());
    migrate::Wish {
        parts: everything
            .parts
            .into_iter()
            .filter(|&part| part == Part::DeadLetters || is_ours)
            .collect(),
        variant: (!is_there).then_some(Variant::Plain),
        ..everything
    }
}

impl Wish {
    /// What setup may have to make, as far as it is in files.
    pub(super) fn everything_of_ours(&self) -> migrate::Wish {
        let outbox = self.tables.contains(&our_table()).then_some(Part::Outbox);
        migrate::Wish {
            parts: outbox.into_iter().chain([Part::DeadLetters]).collect(),
            variant: None,
            schema: None,
            roles: self.roles,
        }
    }
}

impl From<&Step> for Statement {
    fn from(step: &Step) -> Self {
        Self { what: step.migration.what.to_owned(), sql: step.sql.clone() }
    }
}

pub(super) fn our_table() -> TableName {
    TableName::new(OUR_SCHEMA, "events")
}

fn publication(
    wish: &Wish,
    observed: &Observed,
    notes: &mut Vec<String>,
) -> Result<Option<Statement>, Stop> {
    match &observed.publication {
        Some(publication) => {
            let statement = alter_publication(wish, publication)?;
            if statement.is_some() && observed.slot.is_some() {
                notes.push(ALTERED_NOTE.to_owned());
            }
            Ok(statement)
        }
        None if observed.slot.is_some() => Err(publication_after_slot(wish)),
        None => Ok(Some(create_publication(wish, observed))),
    }
}

fn create_publication(wish: &Wish, observed: &Observed) -> Statement {
    let is_partitioned = |table: &ConfiguredTable| {
        table.found.as_ref().is_some_and(|found| found.kind == Kind::Partitioned)
    };
    let via_root = observed.tables.iter().any(is_partitioned);
    let via_root = if via_root { ", publish_via_partition_root = true" } else { "" };
    let tables: Vec<_> = wish.tables.iter().map(sql::table).collect();
    Statement {
        what: format!("publication {}", wish.publication),
        sql: format!(
            "create publication {} for table {} with (publish = 'insert'{via_root});",
            identifier(&wish.publication),
            tables.join(", "),
        ),
    }
}

/// Tables are added and partition roots switched on. What is published already stays so.
fn alter_publication(wish: &Wish, publication: &Publication) -> Result<Option<Statement>, Stop> {
    let name = identifier(&wish.publication);
    if !publication.inserts {
        return Err(Stop::new(
            Code::Publication,
            format!("publication {:?} does not publish inserts", wish.publication),
        )
        .detail("its `publish` option lacks `insert`: new events would be skipped silently")
        .hint(format!("alter publication {name} set (publish = 'insert')")));
    }
    let with = |wanted| publication.uncovered().filter(move |(_, found)| *found == wanted);
    if let Some((table, _)) = with(Coverage::AsRoot).next() {
        return Err(Stop::new(
            Code::Publication,
            format!("rows of {table} are published under the name of its partitioned table"),
        )
        .hint("name the partitioned table in source.tables instead of the partition"));
    }
    let mut lines = Vec::new();
    let missing: Vec<_> = with(Coverage::Missing).map(|(table, _)| sql::table(table)).collect();
    if !missing.is_empty() {
        lines.push(format!("alter publication {name} add table {};", missing.join(", ")));
    }
    if with(Coverage::AsPartitions).next().is_some() {
        lines.push(format!("alter publication {name} set (publish_via_partition_root = true);"));
    }
    let statement =
        Statement { what: format!("publication {}", wish.publication), sql: lines.join("\n") };
    Ok((!statement.sql.is_empty()).then_some(statement))
}

fn publication_after_slot(wish: &Wish) -> Stop {
    let Wish { publication, slot, .. } = wish;
    Stop::new(Code::Publication, format!("slot {slot:?} is older than its publication would be"))
        .detail(format!(
            "publication {publication:?} does not exist, and a slot cannot decode with a \
             publication that was created after it"
        ))
        .hint(format!(
            "name the publication that belongs to the slot (source.publication), or drop the \
             slot if nothing in it is needed (select pg_drop_replication_slot({})) and run setup again",
            sql::literal(slot)
        ))
}

fn new_slot(wish: &Wish, observed: &Observed) -> NewSlot {
    let failover = wish.failover && observed.version.major() >= FAILOVER_SINCE;
    NewSlot { name: wish.slot.clone(), failover }
}

const OUR_SCHEMA: &str = "outbox";
const FAILOVER_SINCE: i32 = 17;
const ALTERED_NOTE: &str = "the publication is altered while a slot exists: a relay that has \
                            progress stops with `publication` until it is run once with \
                            --accept-publication";
