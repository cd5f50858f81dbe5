//! The dead letters, as far as a repair has to do with them.

use std::collections::HashSet;

use outboxd_core::headers::Sequence;
use outboxd_core::mapping::Mapped;
use outboxd_core::parking::{Parcel, Parking, Rules};
use outboxd_core::stop::Stop;

use super::pass::{Destination, Unpublished};
use super::publish::Publisher;
use crate::control::{ControlError, ControlSession};
use crate::dead_letters::{self, Owner};
use crate::sink::Sink;

/// What the table holds.
pub(super) struct Letters {
    pub(super) parking: Parking,
    /// Events that are not to be published from the outbox table.
    pub(super) withheld: HashSet<String>,
    /// Where the next one can be parked.
    pub(super) place: Sequence,
    has_table: bool,
}

impl Letters {
    /// `place`: where those of this repair begin.
    pub(super) async fn read(
        session: &ControlSession,
        name: &str,
        place: Sequence,
        rules: Rules,
    ) -> Result<Self, ControlError> {
        let mut parking = Parking::new(rules);
        if !dead_letters::exists(session).await? {
            parking.load(place, None);
            return Ok(Self { parking, withheld: HashSet::new(), place, has_table: false });
        }
        let owner = Owner { name: name.to_owned(), acquisition: 0 };
        let rows = owner.load(session, place).await?;
        // A repair that was interrupted at the same position has left some.
        let here = rows.iter().filter(|row| row.sequence.at.commit_lsn == place.at.commit_lsn);
        let next = here.map(|row| row.sequence.at.ordinal + 1).max().unwrap_or(0);
        parking.load(place, Some(rows));
        let withheld = owner.withheld(session).await?;
        let mut place = place;
        place.at.ordinal = next;
        Ok(Self { parking, withheld, place, has_table: true })
    }

    /// Opens the table for writing; `None`: there is none.
    pub(super) async fn shelf(
        &self,
        session: ControlSession,
        name: &str,
        acquisition: u64,
    ) -> Result<Option<Shelf>, ControlError> {
        if !self.has_table {
            return Ok(None);
        }
        let acquisition = i64::try_from(acquisition).unwrap_or(i64::MAX);
        let owner = Owner { name: name.to_owned(), acquisition };
        owner.take_over(&session).await?;
        Ok(Some(Shelf { session, owner, parcels: Vec::new() }))
    }
}

/// Parks in batches.
pub(super) struct Shelf {
    session: ControlSession,
    owner: Owner,
    parcels: Vec<Parcel>,
}

impl Shelf {
    async fn commit(&mut self) -> Result<(), ControlError> {
        let parcels = std::mem::take(&mut self.parcels);
        if parcels.is_empty() { Ok(()) } else { self.owner.park(&self.session, &parcels).await }
    }
}

/// To Kafka, and to the table.
pub(super) struct Outlet<'a, S> {
    pub(super) publisher: Publisher<'a, S>,
    pub(super) shelf: Option<Shelf>,
}

impl<S: Sink> Outlet<'_, S> {
    /// Waits until everything is durable.
    pub(super) async fn finish(&mut self) -> Result<(), Stop> {
        if let Some(shelf) = &mut self.shelf {
            shelf.commit().await?;
        }
        self.publisher.drain().await
    }
}

impl<S: Sink> Destination for Outlet<'_, S> {
    async fn publish(&mut self, mapped: &Mapped<'_>) -> Result<(), Unpublished> {
        self.publisher.hand_over(mapped).await
    }

    async fn park(&mut self, parcel: Parcel) -> Result<(), Stop> {
        // Without a table the policy is to halt, and nothing comes here.
        let Some(shelf) = &mut self.shelf else { return Ok(()) };
        shelf.parcels.push(parcel);
        if shelf.parcels.len() >= BATCH_MAX {
            shelf.commit().await?;
        }
        Ok(())
    }
}

const BATCH_MAX: usize = 100;
