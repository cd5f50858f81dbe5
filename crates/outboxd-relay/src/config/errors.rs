//! `[errors]`: what to do about an event that cannot be published, and how to retry the rest.

use std::num::NonZeroU32;
use std::time::Duration;

use config::Value;

use super::section::Section;
use super::setting::{Choice, Setting, text};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorsConfig {
    pub on_record_error: OnRecordError,
    pub max_parked: NonZeroU32,
    pub max_parked_per_key: NonZeroU32,
    pub backoff: Backoff,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnRecordError {
    Park,
    Halt,
    Skip,
}

/// The first and the longest wait between attempts; written as `100ms..30s`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl ErrorsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        Self {
            on_record_error: section.value("on_record_error", OnRecordError::Park),
            max_parked: section.value("max_parked", MAX_PARKED),
            max_parked_per_key: section.value("max_parked_per_key", MAX_PARKED_PER_KEY),
            backoff: section.value("backoff", BACKOFF),
        }
    }
}

impl Choice for OnRecordError {
    const ALL: &'static [(&'static str, Self)] =
        &[("park", Self::Park), ("halt", Self::Halt), ("skip", Self::Skip)];
}

impl Setting for Backoff {
    fn expected() -> String {
        "the first and the longest wait, such as \"100ms..30s\"".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        let (first, longest) = text(value)?.split_once("..")?;
        let first = humantime::parse_duration(first).ok()?;
        let longest = humantime::parse_duration(longest).ok()?;
        (!first.is_zero() && first <= longest).then_some(Self { first, longest })
    }

    fn print(&self) -> toml::Value {
        let (first, longest) = (self.first, self.longest);
        let duration = humantime::format_duration;
        toml::Value::String(format!("{}..{}", duration(first), duration(longest)))
    }
}

const MAX_PARKED: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
const MAX_PARKED_PER_KEY: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(30) };
