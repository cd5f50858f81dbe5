//! The outbox in memory: transactions as a Postgres has them, as far as an append can tell.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Appended;
use crate::outbox::row::{Cell, Row};
use crate::outbox::table::Insert;
use crate::outbox::transaction::Write;
use crate::outbox::{DatabaseError, EventId, OutboxTransaction};

/// What was committed. An [`Outbox`](crate::outbox::Outbox) appends to its transactions, with all
/// its rules.
#[derive(Debug, Default)]
pub struct MemoryOutbox {
    committed: Mutex<Vec<Appended>>,
}

/// A transaction, or a savepoint in one. Dropped, it is rolled back. As in Postgres, an error aborts
/// it: everything after that fails, and a commit keeps nothing.
#[derive(Debug)]
#[must_use = "what is not committed is rolled back"]
pub struct MemoryTransaction<'a> {
    around: Around<'a>,
    /// What it sees, its own events last.
    visible: Vec<Appended>,
    /// How many of those were there when it began.
    before: usize,
    is_aborted: bool,
}

/// Where a commit goes.
#[derive(Debug)]
enum Around<'a> {
    Outbox(&'a Mutex<Vec<Appended>>),
    Transaction(&'a mut Vec<Appended>),
}

impl MemoryOutbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a transaction. There may be several at once; an id that two of them use is refused
    /// when the second commits, where Postgres would let its append wait for the first.
    pub fn begin(&self) -> MemoryTransaction<'_> {
        MemoryTransaction::new(Around::Outbox(&self.committed), self.appended())
    }

    /// What was committed, in that order.
    pub fn appended(&self) -> Vec<Appended> {
        locked(&self.committed).clone()
    }
}

impl<'a> MemoryTransaction<'a> {
    fn new(around: Around<'a>, visible: Vec<Appended>) -> Self {
        Self { around, before: visible.len(), visible, is_aborted: false }
    }

    /// Keeps what was appended; after an error, nothing.
    ///
    /// # Errors
    /// When another transaction has committed an event of the same id meanwhile.
    pub fn commit(mut self) -> Result<(), DatabaseError> {
        if self.is_aborted {
            return Ok(());
        }
        let own = self.visible.split_off(self.before);
        match self.around {
            Around::Outbox(committed) => {
                let mut committed = locked(committed);
                let mut ids = own.iter().map(|event| event.id);
                if let Some(id) = ids.find(|id| committed.iter().any(|event| event.id == *id)) {
                    return Err(MemoryError::Duplicate(id).into());
                }
                committed.extend(own);
            }
            Around::Transaction(visible) => visible.extend(own),
        }
        Ok(())
    }

    /// Keeps nothing.
    pub fn rollback(self) {}

    /// Begins a savepoint: an error in it, rolled back with it, leaves the transaction as it was.
    ///
    /// # Errors
    /// When the transaction is aborted.
    pub fn savepoint(&mut self) -> Result<MemoryTransaction<'_>, DatabaseError> {
        self.check()?;
        let visible = self.visible.clone();
        Ok(MemoryTransaction::new(Around::Transaction(&mut self.visible), visible))
    }

    fn check(&self) -> Result<(), MemoryError> {
        if self.is_aborted { Err(MemoryError::Aborted) } else { Ok(()) }
    }

    fn append(&mut self, insert: &Insert, row: &Row) -> Result<(), MemoryError> {
        self.check()?;
        if self.visible.iter().any(|event| event.id == row.id) {
            self.is_aborted = true;
            return Err(MemoryError::Duplicate(row.id));
        }
        let cells = row.cells.iter().map(printed).collect();
        self.visible.push(Appended::read(&insert.parts, cells));
        Ok(())
    }
}

impl OutboxTransaction for MemoryTransaction<'_> {}

impl Write for MemoryTransaction<'_> {
    async fn insert(&mut self, insert: &Insert, row: &Row) -> Result<(), DatabaseError> {
        Ok(self.append(insert, row)?)
    }

    async fn insert_all(&mut self, insert: &Insert, rows: &[Row]) -> Result<(), DatabaseError> {
        rows.iter().try_for_each(|row| Ok(self.append(insert, row)?))
    }

    async fn abort(&mut self) {
        self.is_aborted = true;
    }

    async fn select(&mut self, _insert: &Insert) -> Result<Vec<Appended>, DatabaseError> {
        self.check()?;
        let mut events = self.visible.clone();
        events.sort_by_key(|event| event.id);
        Ok(events)
    }
}

/// As a Postgres says it.
#[derive(Debug, thiserror::Error)]
enum MemoryError {
    #[error("there is an event with id {0}")]
    Duplicate(EventId),
    #[error("the transaction is aborted")]
    Aborted,
}

impl From<MemoryError> for DatabaseError {
    fn from(error: MemoryError) -> Self {
        let sqlstate = match error {
            MemoryError::Duplicate(_) => "23505",
            MemoryError::Aborted => "25P02",
        };
        Self::new(Some(sqlstate), false, error)
    }
}

fn printed(cell: &Cell) -> Option<Vec<u8>> {
    match cell {
        Cell::Uuid(id) => Some(id.to_string().into_bytes()),
        Cell::Text(text) => text.as_ref().map(|text| text.as_bytes().to_vec()),
        Cell::Bytes(bytes) => bytes.clone(),
    }
}

/// A test that panicked while it held the lock has failed already.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
