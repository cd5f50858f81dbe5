//! What a database has, as far as migrations are concerned.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;

use super::files::Variant;
use super::naming::SchemaName;
use super::plan::Wish;
use crate::control::{ControlError, ControlSession};

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observed {
    pub schemas: BTreeMap<SchemaName, SchemaState>,
    /// The role that asks.
    pub own_role: String,
    pub superuser: bool,
    /// It may create roles.
    pub may_create_roles: bool,
    /// It may create schemas.
    pub may_create_schemas: bool,
    /// Those of our roles that exist.
    pub roles: BTreeSet<String>,
}

/// All of it is empty when there is no such schema.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SchemaState {
    pub owner: Option<String>,
    /// The asking role may do what the owner may.
    pub is_own: bool,
    /// Checksums by names, and when they were applied. `None`: there is no book.
    pub book: Option<BTreeMap<String, Entry>>,
    pub events: Events,
    pub dead_letters: bool,
    pub messages: bool,
}

/// A line of the book.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub checksum: String,
    pub applied_at: String,
}

/// What is there under the name of the outbox table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Events {
    #[default]
    Missing,
    /// As `setup` made it before there was a book.
    AsByHand,
    Other,
}

impl Observed {
    pub async fn read(session: &ControlSession, wish: &Wish) -> Result<Self, ControlError> {
        let names: Vec<&str> = ROLES.to_vec();
        let row = session.row(ROLE, &[(&names, Type::TEXT_ARRAY)]).await?;
        let roles: Vec<String> = row.try_get("roles")?;
        let mut observed = Self {
            schemas: BTreeMap::new(),
            own_role: row.try_get("own_role")?,
            superuser: row.try_get("superuser")?,
            may_create_roles: row.try_get("may_create_roles")?,
            may_create_schemas: row.try_get("may_create_schemas")?,
            roles: roles.into_iter().collect(),
        };
        for schema in wish.schemas() {
            let state = SchemaState::read(session, &schema).await?;
            observed.schemas.insert(schema, state);
        }
        Ok(observed)
    }

    pub(super) fn schema(&self, name: &SchemaName) -> SchemaState {
        self.schemas.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn lacks_roles(&self) -> bool {
        ROLES.iter().any(|role| !self.roles.contains(*role))
    }
}

impl SchemaState {
    async fn read(session: &ControlSession, schema: &SchemaName) -> Result<Self, ControlError> {
        let rows = session.rows(SCHEMA, &[(&schema.as_str(), Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(Self::default()) };
        let columns: Vec<String> = row.try_get("columns")?;
        let kind: Option<&str> = row.try_get("kind")?;
        let has_triggers: bool = row.try_get("has_triggers")?;
        let has_book: bool = row.try_get("has_book")?;
        let events = match kind {
            None => Events::Missing,
            Some("r") if columns == COLUMNS && !has_triggers => Events::AsByHand,
            Some(_) => Events::Other,
        };
        Ok(Self {
            owner: row.try_get("owner")?,
            is_own: row.try_get("is_own")?,
            book: if has_book { Some(read_book(session, schema).await?) } else { None },
            events,
            dead_letters: row.try_get("dead_letters")?,
            messages: row.try_get("messages")?,
        })
    }

    /// Which variant the book knows of.
    pub fn variant(&self) -> Option<Variant> {
        Variant::ALL.into_iter().find(|variant| self.knows(variant.events().name))
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.book.as_ref().is_some_and(|book| book.contains_key(name))
    }
}

async fn read_book(
    session: &ControlSession,
    schema: &SchemaName,
) -> Result<BTreeMap<String, Entry>, ControlError> {
    let sql = format!(
        "select name, checksum, to_json(applied_at) #>> '{{}}' as applied_at from {schema}.migrations"
    );
    let rows = session.rows(&sql, &[]).await?;
    let entry = |row: &tokio_postgres::Row| {
        let entry =
            Entry { checksum: row.try_get("checksum")?, applied_at: row.try_get("applied_at")? };
        Ok((row.try_get("name")?, entry))
    };
    rows.iter().map(entry).collect()
}

/// Those that `roles/0001_roles` makes.
pub(crate) const ROLES: [&str; 5] =
    ["outbox_owner", "outbox_application", "outbox_relay", "outbox_operator", "inbox_consumer"];

/// Names, types and whether they may be null, in their order.
const COLUMNS: [&str; 7] = [
    "id uuid not null",
    "aggregatetype text not null",
    "aggregateid text",
    "type text not null",
    "payload jsonb",
    "headers jsonb not null",
    "created_at timestamp with time zone not null",
];

const ROLE: &str = "
    select current_user::text as own_role, r.rolsuper as superuser,
           r.rolsuper or r.rolcreaterole as may_create_roles,
           has_database_privilege(current_database(), 'create') as may_create_schemas,
           array(select rolname::text from pg_roles where rolname = any ($1)) as roles
      from pg_roles r where r.rolname = current_user";

const SCHEMA: &str = "
    select pg_get_userbyid(n.nspowner)::text as owner, pg_has_role(n.nspowner, 'usage') as is_own,
           exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'migrations')
               as has_book,
           exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'dead_letters')
               as dead_letters,
           exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'messages')
               as messages,
           e.relkind::text as kind,
           exists (select from pg_trigger t where t.tgrelid = e.oid and not t.tgisinternal)
               as has_triggers,
           array(select a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                            || case when a.attnotnull then ' not null' else '' end
                   from pg_attribute a
                  where a.attrelid = e.oid and a.attnum > 0 and not a.attisdropped
                  order by a.attnum) as columns
      from pg_namespace n
      left join pg_class e on e.relnamespace = n.oid and e.relname = 'events'
     where n.nspname = $1";
