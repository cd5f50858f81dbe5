//! Bugs on purpose, to see that the simulation finds them.

use std::cell::Cell;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Planted {
    /// A position counts a transaction whose records are not all acked.
    ConfirmsOneEarly,
    /// A recorded partial transaction is forgotten when it is read.
    ForgetsOrdinal,
    /// Relation frames of a skipped transaction are dropped too.
    DropsRelations,
    /// When the position is set back, what was received once is skipped all the same.
    SkipsAfterRewind,
    /// A keepalive moves the position though a transaction is open.
    ConfirmsInside,
    /// A parcel counts as durable before its row is committed.
    PassesParcel,
    /// A fresh producer has more than one batch of a partition on its way.
    TrustsFreshProducer,
    /// The newest progress record counts, not the one of the highest acquisition.
    BelievesZombie,
    /// A Kafka transaction ends in the middle of one of the database.
    TearsTransactions,
    /// What was read before the fence is not read again.
    TrustsFirstReading,
    /// The position is confirmed when its record is written, before the transaction is committed.
    ConfirmsUncommitted,
    /// A server that is silent is waited for without end.
    TrustsSilence,
}

/// Plants a bug in this thread.
pub(crate) fn plant(bug: Option<Planted>) {
    PLANTED.set(bug);
}

pub(crate) fn is_planted(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
}
