//! Writers of several kinds that go on until they are told to stop, and fail the test when an insert
//! of theirs does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use outboxd_tests::database::connect;
use outboxd_tests::patience::eventually;
use tokio::task::JoinHandle;

pub(crate) struct Load {
    /// Written so far.
    rows: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    pub(crate) async fn start(url: &str) -> Result<Self> {
        let (rows, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut writers = Vec::new();
        for (count, sql) in WRITERS {
            let client = connect(url).await?;
            let (rows, over) = (Arc::clone(&rows), Arc::clone(&over));
            writers.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    client.batch_execute(sql).await.with_context(|| format!("a writer: {sql}"))?;
                    rows.fetch_add(count, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
        Ok(Self { rows, over, writers })
    }

    /// Until there are so many more than now.
    pub(crate) async fn wait_for_rows(&self, more: usize) -> Result<()> {
        let wanted = self.rows.load(Ordering::Relaxed) + more;
        eventually("more rows", || async {
            if self.writers.iter().any(JoinHandle::is_finished) {
                bail!("a writer has failed");
            }
            Ok((self.rows.load(Ordering::Relaxed) >= wanted).then_some(()))
        })
        .await
    }

    /// How many were written.
    pub(crate) async fn stop(self) -> Result<usize> {
        self.over.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await??;
        }
        Ok(self.rows.load(Ordering::Relaxed))
    }
}

/// Rows of one pass, and how they are written.
const WRITERS: [(usize, &str); 4] = [
    (
        1,
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         values ('a', 'k', 't', '1')",
    ),
    (
        20,
        "insert into outbox.events (aggregatetype, aggregateid, type, payload)
         select 'a', i::text, 't', to_jsonb(repeat('x', 3000)) from generate_series(1, 20) as i",
    ),
    (
        2,
        "begin isolation level repeatable read; select 1;
         select outbox.emit('a', 'k', 't', '1'); select outbox.emit('a', 'k', 't', '2'); commit",
    ),
    (
        1,
        "begin; savepoint s; insert into outbox.events (aggregatetype, type) values ('a', 't');
         rollback to s; insert into outbox.events (aggregatetype, type) values ('a', 't'); commit",
    ),
];
