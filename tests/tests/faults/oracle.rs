//! Which row was committed where: a slot of our own, read with SQL by nobody but the test.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use outboxd_core::lsn::Lsn;
use outboxd_core::pgoutput::{Cell, Message};
use outboxd_tests::database::{Database, connect};
use outboxd_tests::topic::Record;
use tokio_postgres::Client;

/// Remembers every commit from its making on.
pub(crate) struct Oracle {
    client: Client,
}

/// The committed events with the end LSN of their transactions, in the order of commits.
pub(crate) struct Commits(Vec<(Lsn, String)>);

impl Oracle {
    pub(crate) async fn new(database: &Database) -> Result<Self> {
        let client = connect(database.url()).await?;
        client
            .execute("select pg_create_logical_replication_slot('oracle', 'pgoutput')", &[])
            .await?;
        Ok(Self { client })
    }

    /// All commits up to now.
    pub(crate) async fn read(&self) -> Result<Commits> {
        let mut commits = Vec::new();
        let mut open = Vec::new();
        for row in self.client.query(CHANGES, &[]).await? {
            let change: &[u8] = row.get(0);
            match Message::decode(change)? {
                Message::Begin(_) => open.clear(),
                Message::Insert(insert) => {
                    let Some(Cell::Text(id)) = insert.new.cells().next() else { continue };
                    open.push(std::str::from_utf8(id)?.to_owned());
                }
                Message::Commit(commit) => {
                    commits.extend(open.drain(..).map(|id| (commit.end_lsn, id)));
                }
                _ => {}
            }
        }
        Ok(Commits(commits))
    }
}

impl Commits {
    /// Every event that was committed up to `confirmed` is among the records.
    pub(crate) fn expect_published(&self, confirmed: Lsn, records: &[Record]) -> Result<()> {
        let published: HashSet<&str> = records.iter().filter_map(|it| it.header("id")).collect();
        let passed = self.0.iter().filter(|(end, _)| *end <= confirmed);
        let missing: Vec<_> = passed.filter(|(_, id)| !published.contains(id.as_str())).collect();
        ensure!(
            missing.is_empty(),
            "{confirmed} is confirmed, and {} events before it are missing: {:?}",
            missing.len(),
            &missing[..missing.len().min(5)]
        );
        Ok(())
    }

    /// How many events were committed up to that position.
    pub(crate) fn up_to(&self, position: Lsn) -> usize {
        self.0.iter().filter(|(end, _)| *end <= position).count()
    }
}

const CHANGES: &str = "
    select data from pg_logical_slot_peek_binary_changes(
        'oracle', null, null, 'proto_version', '1', 'publication_names', 'outboxd')";
