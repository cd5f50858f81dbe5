//! The simulation finds bugs: each of these within the number of seeds that every test run takes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{SEEDS, run};
use crate::planted::{Planted, plant};

fn first_seed_that_finds(bug: Planted) -> u64 {
    plant(Some(bug));
    let found = (1..=SEEDS).find(|&seed| catch_unwind(AssertUnwindSafe(|| run(seed))).is_err());
    plant(None);
    let seed = found.unwrap_or_else(|| panic!("{bug:?} is not found by any of {SEEDS} seeds"));
    println!("{bug:?} is found by seed {seed}");
    seed
}

macro_rules! found {
    ($($name:ident: $bug:ident,)*) => {$(
        #[test]
        fn $name() {
            let seed = first_seed_that_finds(Planted::$bug);
            run(seed);
        }
    )*};
}

// And the same seed finds nothing without the bug.
found! {
    confirming_one_transaction_early: ConfirmsOneEarly,
    forgetting_the_ordinal: ForgetsOrdinal,
    dropping_relations_while_skipping: DropsRelations,
    skipping_after_a_rewind: SkipsAfterRewind,
    confirming_inside_a_transaction: ConfirmsInside,
    passing_an_uncommitted_parcel: PassesParcel,
    two_batches_of_a_fresh_producer: TrustsFreshProducer,
    believing_a_zombie: BelievesZombie,
    tearing_transactions: TearsTransactions,
    trusting_what_was_read_before_the_fence: TrustsFirstReading,
    confirming_what_is_not_committed: ConfirmsUncommitted,
    trusting_a_silent_server: TrustsSilence,
}
