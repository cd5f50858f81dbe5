//! From the run loop to whoever looks.

use tokio::sync::watch;

use super::Snapshot;
use crate::metrics::{Metrics, Scrape};

/// Takes the loop's snapshots. Never waits for a reader.
#[derive(Debug)]
pub struct Publisher {
    metrics: Metrics,
    latest: watch::Sender<Snapshot>,
}

/// Sees the latest snapshot.
#[derive(Clone, Debug)]
pub struct Watcher {
    scrape: Scrape,
    latest: watch::Receiver<Snapshot>,
}

impl Publisher {
    pub fn new() -> (Self, Watcher) {
        let metrics = Metrics::new();
        let (sender, latest) = watch::channel(Snapshot::default());
        let watcher = Watcher { scrape: metrics.scrape(), latest };
        (Self { metrics, latest: sender }, watcher)
    }

    /// The samples are used up: they are counted here, because a watcher may miss a snapshot.
    pub(crate) fn publish(&mut self, snapshot: &mut Snapshot) {
        self.metrics.update(snapshot);
        snapshot.samples.clear();
        self.latest.send_replace(snapshot.clone());
    }
}

impl Watcher {
    pub fn latest(&self) -> Snapshot {
        self.latest.borrow().clone()
    }

    /// The next snapshot that is not seen yet; `None` when the loop is gone.
    pub async fn next(&mut self) -> Option<Snapshot> {
        self.latest.changed().await.ok()?;
        Some(self.latest.borrow_and_update().clone())
    }

    /// In Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.scrape.render(&self.latest.borrow())
    }
}
