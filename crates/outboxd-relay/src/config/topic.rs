//! `[topic]`: which topic an event goes to, and what may be done about topics.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};

use config::Value;

use super::section::Section;
use super::setting::{Choice, Setting};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicConfig {
    /// With columns as `${name}`.
    pub template: String,
    /// Aggregate type → topic; wins over the template.
    pub map: BTreeMap<String, String>,
    /// Patterns of topics that may be written to. Empty: all.
    pub allow: Vec<String>,
    /// Create missing topics, with the three below.
    pub create: bool,
    pub partitions: Option<NonZeroU32>,
    pub replication_factor: Option<NonZeroU16>,
    pub config: BTreeMap<String, String>,
    pub on_partitions_changed: OnPartitionsChanged,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnPartitionsChanged {
    Stop,
    Switch,
}

impl TopicConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let Template(template) = section.value("template", Template(TEMPLATE.to_owned()));
        Self {
            template,
            map: section.value("map", BTreeMap::new()),
            allow: section.value("allow", Vec::new()),
            create: section.value("create", false),
            partitions: section.optional("partitions"),
            replication_factor: section.optional("replication_factor"),
            config: section.value("config", BTreeMap::new()),
            on_partitions_changed: section
                .value("on_partitions_changed", OnPartitionsChanged::Stop),
        }
    }
}

impl Choice for OnPartitionsChanged {
    const ALL: &'static [(&'static str, Self)] = &[("stop", Self::Stop), ("switch", Self::Switch)];
}

/// Text whose `${…}` names columns: printed as it is, because it is read as it is.
struct Template(String);

impl Setting for Template {
    fn expected() -> String {
        "a topic name, with columns as ${name}".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        String::parse(value).map(Self)
    }

    fn print(&self) -> toml::Value {
        toml::Value::String(self.0.clone())
    }
}

const TEMPLATE: &str = "outbox.event.${aggregatetype}";
