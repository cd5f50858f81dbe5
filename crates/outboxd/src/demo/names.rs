//! What everything is called. Each run has names of its own, so that it touches nothing that is
//! there on servers of the user's, and two runs do not meet.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::process;

use serde::{Deserialize, Serialize};

use super::plan::Kind;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Names {
    suffix: String,
}

impl Names {
    pub(super) fn of_this_run() -> Self {
        let random = RandomState::new().hash_one(process::id());
        Self { suffix: format!("{:08x}", random as u32) }
    }

    /// The publication, the slot, the relay and the group of the payment services.
    pub(super) fn run(&self) -> String {
        format!("{PREFIX}{}", self.suffix)
    }

    pub(super) fn orders_database(&self) -> String {
        format!("{}_orders", self.run())
    }

    pub(super) fn payments_database(&self) -> String {
        format!("{}_payments", self.run())
    }

    pub(super) fn topic(&self, kind: Kind) -> String {
        format!("outboxd.demo.{}.{}", self.suffix, kind.aggregate_type())
    }

    pub(super) fn event_topics(&self) -> [String; 2] {
        Kind::ALL.map(|kind| self.topic(kind))
    }

    /// As librdkafka wants it in a subscription.
    pub(super) fn event_topics_pattern(&self) -> String {
        format!("^outboxd\\.demo\\.{}\\.", self.suffix)
    }

    pub(super) fn progress_topic(&self) -> String {
        format!("outboxd.progress.{}", self.run())
    }

    /// The relay's configuration as environment variables, which other users cannot read.
    pub(super) fn configuration(&self, url: &str, bootstrap: &str) -> BTreeMap<String, String> {
        let template = format!("outboxd.demo.{}.${{aggregatetype}}", self.suffix);
        [
            ("SOURCE__URL", url.to_owned()),
            ("SOURCE__NAME", self.run()),
            ("SOURCE__SLOT", self.run()),
            ("SOURCE__PUBLICATION", self.run()),
            ("SOURCE__CREATE_SLOT", "true".to_owned()),
            // A slot for a minute is nothing for a standby.
            ("SOURCE__FAILOVER", "false".to_owned()),
            ("TOPIC__TEMPLATE", template),
            ("KAFKA__BOOTSTRAP_SERVERS", bootstrap.to_owned()),
            ("DELIVERY__PROGRESS__TOPIC", self.progress_topic()),
            ("DELIVERY__PROGRESS_INTERVAL", PROGRESS_INTERVAL.to_owned()),
            ("DELIVERY__MAX_UNRECORDED_EVENTS", UNRECORDED_EVENTS_MAX.to_string()),
            ("HTTP__LISTEN", "off".to_owned()),
            ("LOG__FORMAT", "json".to_owned()),
            ("LOG__LEVEL", "info".to_owned()),
        ]
        .map(|(key, value)| (format!("OUTBOXD_{key}"), value))
        .into()
    }
}

pub(super) const PREFIX: &str = "outboxd_demo_";

/// Longer than the default, so that a kill finds events that are published and not recorded.
const PROGRESS_INTERVAL: &str = "1s";
/// Far below the default, so that the bound on duplicates says something about a short run.
const UNRECORDED_EVENTS_MAX: u32 = 500;

#[cfg(test)]
mod tests {
    use outboxd_relay::config::{Config, Inputs};

    use super::*;

    #[test]
    fn the_relay_understands_its_configuration() {
        let names = Names::of_this_run();
        let environment = names.configuration("postgres://db/shop", "a:1,b:2");
        let config = Config::load(&Inputs { environment, ..Inputs::default() }).unwrap();
        assert_eq!(config.source.tables, ["outbox.events"]);
        let topic = config.topic.template.replace("${aggregatetype}", "gift");
        assert_eq!(topic, names.topic(Kind::Gift));
        assert_eq!(config.delivery.progress.topic, names.progress_topic());
        assert_eq!(config.kafka.bootstrap_servers, ["a:1", "b:2"]);
    }

    #[test]
    fn runs_do_not_share_names() {
        assert_ne!(Names::of_this_run().run(), Names::of_this_run().run());
    }
}
