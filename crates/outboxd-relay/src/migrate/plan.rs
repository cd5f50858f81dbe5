//! Which files are missing, decided from what was observed.

use std::collections::BTreeSet;

use openssl::sha::sha256;
use outboxd_core::stop::{Code, Stop};

use super::files::{self, Migration, Part, Variant};
use super::naming::{SchemaName, renamed};
use super::observe::{Events, Observed, SchemaState};
use crate::setup::sql::{identifier, literal};

/// What is to be there.
#[derive(Clone, Debug)]
pub struct Wish {
    pub parts: Vec<Part>,
    /// `None`: the one that is there, or the default.
    pub variant: Option<Variant>,
    /// In place of `outbox` or `inbox`; dead letters have no choice, since relays look for them.
    pub schema: Option<SchemaName>,
    /// Also the roles, and what each may do.
    pub roles: bool,
}

/// What is missing, in order. Nothing in it: all is there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    pub tables: Vec<Step>,
    /// After all tables.
    pub rights: Vec<Step>,
}

/// One transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    pub migration: &'static Migration,
    pub schema: SchemaName,
    /// The object is there: only the book has to be told.
    pub is_found: bool,
    /// With the line in the book.
    pub sql: String,
}

/// Compares the wish with the database. Stops where something is there that must not be touched.
pub fn plan(wish: &Wish, observed: &Observed) -> Result<Plan, Stop> {
    let mut booked = BTreeSet::new();
    let mut plan = Plan::default();
    for &part in &wish.parts {
        let schema = wish.schema_of(part);
        let state = observed.schema(&schema);
        let variant = variant(wish, part, &schema, &state)?;
        check_kept(part, &schema, &state)?;
        for migration in part.tables(variant) {
            if plan.has(migration, &schema) || is_applied(migration, &schema, &state)? {
                continue;
            }
            check_room(part, migration, variant, &schema, &state)?;
            let is_found = is_found(migration, &state);
            let opens_book = state.book.is_none() && booked.insert(schema.clone());
            plan.tables.push(Step::new(migration, part, &schema, is_found, opens_book));
        }
    }
    if wish.roles {
        plan.rights = rights(wish, observed)?;
    }
    Ok(plan)
}

/// The roles themselves belong to the server, and may be missing although the book has them.
fn rights(wish: &Wish, observed: &Observed) -> Result<Vec<Step>, Stop> {
    let mut steps = Vec::new();
    for &part in &wish.parts {
        let schema = wish.schema_of(part);
        let state = observed.schema(&schema);
        let variant = variant(wish, part, &schema, &state)?;
        for migration in part.rights(variant) {
            if !is_applied(migration, &schema, &state)? {
                steps.push(Step::new(migration, part, &schema, false, false));
            }
        }
    }
    if let Some(&part) = wish.parts.first()
        && (observed.lacks_roles() || !steps.is_empty())
    {
        steps.insert(0, Step::new(&files::ROLES, part, &wish.schema_of(part), false, false));
    }
    Ok(steps)
}

impl Wish {
    pub(super) fn schema_of(&self, part: Part) -> SchemaName {
        let own = || part.schema().parse().expect("schemas of ours have legal names");
        match (part, &self.schema) {
            (Part::Outbox | Part::Inbox, Some(schema)) => schema.clone(),
            _ => own(),
        }
    }

    pub(super) fn schemas(&self) -> BTreeSet<SchemaName> {
        self.parts.iter().map(|&part| self.schema_of(part)).collect()
    }
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps().next().is_none()
    }

    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.tables.iter().chain(&self.rights)
    }

    fn has(&self, migration: &Migration, schema: &SchemaName) -> bool {
        // The schema is a file of two parts.
        self.tables.iter().any(|step| step.migration == migration && step.schema == *schema)
    }
}

impl Step {
    fn new(
        migration: &'static Migration,
        part: Part,
        schema: &SchemaName,
        is_found: bool,
        opens_book: bool,
    ) -> Self {
        let text = |sql: &str| renamed(sql.trim(), part.schema(), schema);
        let mut parts = Vec::new();
        if !is_found {
            parts.push(text(migration.sql));
        }
        if opens_book {
            parts.push(renamed(files::BOOK.trim(), "outbox", schema));
        }
        parts.push(format!(
            "insert into {schema}.migrations (name, checksum) values ({}, {}) on conflict (name) do nothing;",
            literal(migration.name),
            literal(&migration.checksum()),
        ));
        Self { migration, schema: schema.clone(), is_found, sql: parts.join("\n") }
    }
}

impl Migration {
    /// Of the file as it is, whatever the schema is called.
    pub fn checksum(&self) -> String {
        sha256(self.sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The one that is wanted, which has to be the one that is there.
pub(super) fn variant(
    wish: &Wish,
    part: Part,
    schema: &SchemaName,
    state: &SchemaState,
) -> Result<Variant, Stop> {
    let by_hand = (state.events == Events::AsByHand).then_some(Variant::Plain);
    let found = state.variant().or(by_hand);
    match (wish.variant, found) {
        (Some(wanted), Some(found)) if wanted != found && part == Part::Outbox => {
            let message = format!("{schema}.events is {found}, not {wanted}");
            Err(Stop::new(Code::Migration, message)
                .detail("a variant is not turned into another in place")
                .hint(format!(
                    "leave --variant out to keep {found}; docs/schema.md says how to change it"
                )))
        }
        (wanted, found) => Ok(found.or(wanted).unwrap_or(Variant::Rotating)),
    }
}

fn is_applied(
    migration: &Migration,
    schema: &SchemaName,
    state: &SchemaState,
) -> Result<bool, Stop> {
    let entry = state.book.as_ref().and_then(|book| book.get(migration.name));
    let Some(entry) = entry else { return Ok(false) };
    if entry.checksum == migration.checksum() {
        return Ok(true);
    }
    let name = migration.name;
    Err(Stop::new(Code::Migration, format!("{name} is not the file that was applied"))
        .detail(format!(
            "{schema}.migrations has {} for it, this program {}",
            entry.checksum,
            migration.checksum()
        ))
        .hint(
            "released files never change: run the version of outboxd that made the schema, or, when \
             you have edited a copy on purpose and the schema is as you want it, set its checksum \
             in the book",
        ))
}

/// Whether what the file makes is there, made before there was a book.
fn is_found(migration: &Migration, state: &SchemaState) -> bool {
    let events = migration == Variant::Plain.events() && state.events == Events::AsByHand;
    events || (*migration == files::DEAD_LETTERS && state.dead_letters)
}

/// Nothing of somebody else's is touched.
fn check_room(
    part: Part,
    migration: &Migration,
    variant: Variant,
    schema: &SchemaName,
    state: &SchemaState,
) -> Result<(), Stop> {
    let foreign = match part {
        Part::Outbox => *migration == *variant.events() && state.events == Events::Other,
        Part::DeadLetters => false,
        Part::Inbox => state.book.is_none() && state.messages,
    };
    let name = if part == Part::Inbox { "messages" } else { "events" };
    if !foreign {
        return Ok(());
    }
    let others = match part {
        Part::Inbox => "choose another schema with --schema",
        _ => {
            "`outboxd setup` takes it as it is, and `migrate up --only dead-letters` makes the \
             rest; or choose another schema with --schema"
        }
    };
    Err(Stop::new(Code::Migration, format!("{schema}.{name} exists, and outboxd did not make it"))
        .detail(format!("there is no line for {} in {schema}.migrations", migration.name))
        .hint(others))
}

/// What the book knows and somebody has dropped is not made anew on the quiet.
fn check_kept(part: Part, schema: &SchemaName, state: &SchemaState) -> Result<(), Stop> {
    let Some(variant) = state.variant() else { return Ok(()) };
    if part != Part::Outbox || state.events != Events::Missing {
        return Ok(());
    }
    let name = variant.events().name;
    Err(Stop::new(Code::Migration, format!("{schema}.events was dropped, and its book was not"))
        .detail(format!("{schema}.migrations says that {name} was applied"))
        .hint(format!("drop the schema, or restore the table; {schema}.migrations goes with it")))
}

/// Whether the asking role may carry a plan out, asked before anything is tried. To print one takes
/// no rights.
pub fn check_rights(plan: &Plan, observed: &Observed) -> Result<(), Stop> {
    for step in &plan.tables {
        check_schema(&step.schema, &observed.schema(&step.schema), observed)?;
    }
    if plan.rights.is_empty() { Ok(()) } else { check_roles(observed) }
}

fn check_schema(schema: &SchemaName, state: &SchemaState, observed: &Observed) -> Result<(), Stop> {
    let own = identifier(&observed.own_role);
    match &state.owner {
        None if !observed.may_create_schemas => {
            Err(Stop::new(Code::Permission, format!("{own} may not create the schema {schema}"))
                .hint(format!("grant create on database … to {own}, or run it as another role")))
        }
        Some(owner) if !state.is_own => {
            let message = format!("the schema {schema} belongs to {owner:?}");
            Err(Stop::new(Code::Permission, message)
                .detail(format!("{own} is not a member of that role"))
                .hint(format!("run it as {owner}, or choose another schema with --schema")))
        }
        _ => Ok(()),
    }
}

fn check_roles(observed: &Observed) -> Result<(), Stop> {
    if !observed.lacks_roles() || observed.may_create_roles {
        return Ok(());
    }
    let own = identifier(&observed.own_role);
    Err(Stop::new(Code::Permission, format!("{own} may not create roles"))
        .hint("have somebody run `outboxd migrate print --roles` who may, or leave --roles out"))
}
