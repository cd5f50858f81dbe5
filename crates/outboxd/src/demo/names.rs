//! What everything is called. Each run has names of its own, so that it touches nothing that is
//! there on servers of the user's, and two runs do not meet.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::process;

use super::event::Kind;

#[derive(Clone, Debug)]
pub(super) struct Names {
    suffix: String,
}

impl Names {
    pub(super) fn of_this_run() -> Self {
        let random = RandomState::new().hash_one(process::id());
        Self { suffix: format!("{:08x}", random as u32) }
    }

    /// The schema, the publication, the slot and the relay.
    pub(super) fn run(&self) -> String {
        format!("{PREFIX}{}", self.suffix)
    }

    pub(super) fn table(&self, table: &str) -> String {
        format!("{}.{table}", self.run())
    }

    pub(super) fn topic(&self, kind: Kind) -> String {
        format!("outboxd.demo.{}.{}", self.suffix, kind.name())
    }

    pub(super) fn event_topics(&self) -> Vec<String> {
        Kind::ALL.map(|kind| self.topic(kind)).to_vec()
    }

    pub(super) fn progress_topic(&self) -> String {
        format!("outboxd.progress.{}", self.run())
    }

    /// The relay's configuration as environment variables, which other users cannot read.
    pub(super) fn configuration(&self, url: &str, bootstrap: &str) -> BTreeMap<String, String> {
        let map = Kind::ALL.map(|kind| format!("{}={}", kind.name(), self.topic(kind)));
        [
            ("SOURCE__URL", url.to_owned()),
            ("SOURCE__NAME", self.run()),
            ("SOURCE__SLOT", self.run()),
            ("SOURCE__PUBLICATION", self.run()),
            ("SOURCE__TABLES", self.table("outbox")),
            ("SOURCE__CREATE_SLOT", "true".to_owned()),
            // A slot for a minute is nothing for a standby.
            ("SOURCE__FAILOVER", "false".to_owned()),
            ("TOPIC__MAP", map.join(",")),
            ("KAFKA__BOOTSTRAP_SERVERS", bootstrap.to_owned()),
            ("DELIVERY__PROGRESS__TOPIC", self.progress_topic()),
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
        assert_eq!(config.source.tables, [names.table("outbox")]);
        assert_eq!(config.topic.map["payment"], names.topic(Kind::Payment));
        assert_eq!(config.delivery.progress.topic, names.progress_topic());
        assert_eq!(config.kafka.bootstrap_servers, ["a:1", "b:2"]);
    }

    #[test]
    fn runs_do_not_share_names() {
        assert_ne!(Names::of_this_run().run(), Names::of_this_run().run());
    }
}
