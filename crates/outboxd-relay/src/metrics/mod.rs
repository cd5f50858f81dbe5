//! What Prometheus scrapes: names, labels and units are promised to dashboards and alert rules.
//!
//! One [`Metrics`] is brought up to date from each [`Snapshot`]; nothing here is touched per event.
//! The recorder belongs to it and is never installed globally, so that two relays in one process
//! do not mix their numbers. Event ids and keys never become labels.

mod instruments;
#[cfg(test)]
mod lint;
mod loose;
mod registry;
#[cfg(test)]
mod tests;

use metrics_exporter_prometheus::PrometheusHandle;

use self::instruments::Instruments;
use self::registry::Registry;
use crate::health::Snapshot;

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    instruments: Instruments,
}

/// Renders what [`Metrics`] was last told.
#[derive(Clone, Debug)]
pub struct Scrape {
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let instruments = Instruments::new(&registry);
        Self { registry, instruments }
    }

    pub(crate) fn scrape(&self) -> Scrape {
        Scrape { handle: self.registry.handle() }
    }

    /// Uses each sample of the snapshot once: not to be called twice with the same.
    pub(crate) fn update(&mut self, snapshot: &Snapshot) {
        self.instruments.update(&self.registry, snapshot);
        // Samples are kept one by one until they are sorted into buckets, scraped or not.
        self.registry.handle().run_upkeep();
    }
}

impl Scrape {
    pub(crate) fn render(&self, snapshot: &Snapshot) -> String {
        let mut text = self.handle.render();
        loose::append(&mut text, snapshot);
        text
    }
}
