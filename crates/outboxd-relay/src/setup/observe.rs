//! The state of the server before `setup`.

use outboxd_core::gate::Slot;

use super::plan::Wish;
use crate::catalog::capacity::Capacity;
use crate::catalog::privilege::Role;
use crate::catalog::publication::{self, Publication};
use crate::catalog::server::Settings;
use crate::catalog::slot;
use crate::catalog::table::{self, ConfiguredTable};
use crate::control::{ControlError, ControlSession, ServerVersion};
use crate::migrate;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Observed {
    pub version: ServerVersion,
    pub settings: Settings,
    pub capacity: Capacity,
    /// `None`: a role that does not exist.
    pub streaming_role: Option<Role>,
    pub tables: Vec<ConfiguredTable>,
    pub publication: Option<Publication>,
    pub slot: Option<Slot>,
    pub migrations: migrate::Observed,
}

impl Observed {
    pub async fn read(session: &ControlSession, wish: &Wish) -> Result<Self, ControlError> {
        Ok(Self {
            version: session.version(),
            settings: Settings::read(session).await?,
            capacity: Capacity::read(session).await?,
            streaming_role: Role::read(session, &wish.streaming_role).await?,
            tables: table::read(session, &wish.tables, &wish.publication).await?,
            publication: publication::read(session, &wish.publication, &wish.tables).await?,
            slot: slot::read(session, &wish.slot).await?,
            migrations: migrate::Observed::read(session, &wish.everything_of_ours()).await?,
        })
    }
}
