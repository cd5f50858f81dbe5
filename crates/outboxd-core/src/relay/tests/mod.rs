//! The relay driven step by step, with a hand-held clock.

mod draining;
mod driver;
mod kafka;
mod letters;
mod messages;
mod opening;
mod parking;
mod partitions;
mod postgres;
mod producing;
mod rotating;
mod sim;
mod streaming;
mod timing;
mod transactions;

use std::time::Duration;

use super::{Goal, Settings};
use crate::gate::Rules;
use crate::mapping::{Mapper, MappingConfig};
use crate::parking::{Policy, Rules as ParkingRules};
use crate::relation::TableName;
use crate::topics::OnPartitionsChanged;
use crate::window::Limits;

fn settings() -> Settings {
    Settings {
        rules: Rules {
            database: "shop".to_owned(),
            slot: "outboxd_shop".to_owned(),
            publication: "outboxd".to_owned(),
            create_slot: false,
            adopt_slot: true,
            adopt_from: None,
            accept_publication: false,
        },
        goal: Goal::Run,
        limits: Limits { events: 1000, bytes: 1 << 20, overhead: 0 },
        parking: ParkingRules { policy: Policy::Halt, max_parked: 1000, max_parked_per_key: 100 },
        on_partitions_changed: OnPartitionsChanged::Stop,
        transactions: None,
        unrecorded_events_max: 1000,
        progress_interval: Duration::from_millis(100),
        wal_sender_timeout: Duration::from_secs(15),
        release_after: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(20),
        rotate_every: None,
    }
}

fn mapper() -> Mapper {
    let tables = vec![TableName::new("outbox", "events")];
    let messages_prefix = Some(PREFIX.to_owned());
    let config = MappingConfig { tables, messages_prefix, ..MappingConfig::default() };
    Mapper::new(config).expect("a valid mapping")
}

/// Of the messages that are events.
const PREFIX: &str = "outbox";
const FINGERPRINT: &str = "cafe";
const TOPIC: &str = "outbox.event.order";
