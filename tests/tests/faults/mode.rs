//! What each mode of delivery promises, and how a test ends that holds a relay to it.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use outboxd_tests::checker::{Verdict, check};
use outboxd_tests::database::Database;
use outboxd_tests::relay::{RelayCommand, RelayProcess};
use outboxd_tests::topic::{Record, Topic};
use outboxd_tests::truth;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    AtLeastOnce,
    ExactlyOnce,
}

impl Mode {
    /// That relay, in this mode.
    pub(crate) fn on(self, command: RelayCommand) -> RelayCommand {
        match self {
            Self::AtLeastOnce => command,
            // A commit whose outcome is unknown costs the producer, which is no failure here.
            Self::ExactlyOnce => {
                command.set("delivery.mode", "exactly_once").expect_error("producer.failed")
            }
        }
    }

    /// How many repeats are excused, where the starts announced so many.
    pub(crate) fn excused(self, announced: u64) -> u64 {
        match self {
            Self::AtLeastOnce => announced,
            Self::ExactlyOnce => 0,
        }
    }

    /// Lets the relay publish what is left and end; what a reader of this mode finds.
    pub(crate) async fn conclude(
        self,
        database: &Database,
        topic: &Topic,
        kind: &str,
        mut relay: RelayProcess,
    ) -> Result<Verdict> {
        let rows = truth::read(database, kind).await?;
        ensure!(!rows.is_empty(), "nothing was written");
        // Repeats and marks of transactions lengthen the topic: its length does not tell.
        database.wait_confirmed(database.wal_position().await?).await?;
        let status = relay.terminate().await?;
        ensure!(status.success(), "the relay ended with {status}");
        let records = match self {
            Self::AtLeastOnce => topic.read_all().await?,
            Self::ExactlyOnce => topic.read_committed().await?,
        };
        if self == Self::ExactlyOnce {
            expect_rising(&records)?;
        }
        Ok(check(&rows, &records, topic.partitions()))
    }
}

/// I6: positions rise in every partition.
fn expect_rising(records: &[Record]) -> Result<()> {
    let mut last: HashMap<i32, &str> = HashMap::new();
    for record in records {
        let sequence = record.header("sequence").context("every record has a sequence")?;
        let former = last.insert(record.partition, sequence);
        ensure!(former.is_none_or(|former| former < sequence), "{sequence} after {former:?}");
    }
    Ok(())
}
