//! The state of the server before `setup`.

use std::collections::BTreeSet;

use outboxd_core::gate::Slot;
use tokio_postgres::types::Type;

use super::plan::Wish;
use super::roles;
use crate::catalog::capacity::Capacity;
use crate::catalog::privilege::Role;
use crate::catalog::publication::{self, Publication};
use crate::catalog::server::Settings;
use crate::catalog::slot;
use crate::catalog::table::{self, ConfiguredTable};
use crate::control::{ControlError, ControlSession, ServerVersion};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    pub version: ServerVersion,
    pub settings: Settings,
    pub capacity: Capacity,
    /// `None`: a role that does not exist.
    pub streaming_role: Option<Role>,
    pub tables: Vec<ConfiguredTable>,
    /// The owner of the schema `outbox`; `None` when there is no such schema.
    pub outbox_owner: Option<String>,
    /// The dead-letter table exists.
    pub dead_letters: bool,
    pub publication: Option<Publication>,
    pub slot: Option<Slot>,
    /// Those of our roles that exist.
    pub roles: BTreeSet<String>,
    /// The role that runs `setup`.
    pub own_role: String,
    pub superuser: bool,
}

impl Observed {
    pub async fn read(session: &ControlSession, wish: &Wish) -> Result<Self, ControlError> {
        let known = Known::read(session).await?;
        Ok(Self {
            version: session.version(),
            settings: Settings::read(session).await?,
            capacity: Capacity::read(session).await?,
            streaming_role: Role::read(session, &wish.streaming_role).await?,
            tables: table::read(session, &wish.tables, &wish.publication).await?,
            outbox_owner: known.outbox_owner,
            dead_letters: known.dead_letters,
            publication: publication::read(session, &wish.publication, &wish.tables).await?,
            slot: slot::read(session, &wish.slot).await?,
            roles: known.roles,
            own_role: known.own_role,
            superuser: known.superuser,
        })
    }
}

struct Known {
    outbox_owner: Option<String>,
    dead_letters: bool,
    roles: BTreeSet<String>,
    own_role: String,
    superuser: bool,
}

impl Known {
    async fn read(session: &ControlSession) -> Result<Self, ControlError> {
        let names: Vec<&str> = roles::ALL.iter().map(|role| role.name).collect();
        let row = session.row(KNOWN, &[(&names, Type::TEXT_ARRAY)]).await?;
        let roles: Vec<String> = row.try_get("roles")?;
        Ok(Self {
            outbox_owner: row.try_get("outbox_owner")?,
            dead_letters: row.try_get("dead_letters")?,
            roles: roles.into_iter().collect(),
            own_role: row.try_get("own_role")?,
            superuser: row.try_get("superuser")?,
        })
    }
}

const KNOWN: &str = "
    select (select pg_get_userbyid(nspowner)::text from pg_namespace where nspname = 'outbox')
               as outbox_owner,
           to_regclass('outbox.dead_letters') is not null as dead_letters,
           array(select rolname::text from pg_roles where rolname = any ($1)) as roles,
           current_user::text as own_role,
           (select rolsuper from pg_roles where rolname = current_user) as superuser";
