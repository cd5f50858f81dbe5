//! What the shop wrote and what was read back, as plain data.

/// Which aggregate an event is of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    Order,
    Payment,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Order, Self::Payment];

    /// The aggregate type in the outbox.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Payment => "payment",
        }
    }
}

/// One row of the outbox.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// As Postgres gave it.
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) key: String,
    /// Counts the events of one aggregate in the order in which they were committed: the writer
    /// holds the lock on the aggregate's row from taking the number until its commit.
    pub(super) version: i64,
    /// As Postgres prints it.
    pub(super) payload: String,
}

/// What became of all events that were ever inserted.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) committed: Vec<Event>,
    /// With their whole transaction, or to a savepoint.
    pub(super) rolled_back: Vec<Event>,
}

impl Ledger {
    pub(super) fn append(&mut self, mut other: Self) {
        self.committed.append(&mut other.committed);
        self.rolled_back.append(&mut other.rolled_back);
    }
}

/// One record, in the order of reading. Records of one partition are read in their order there.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Empty when the header is missing, which no event has.
    pub(super) id: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}
