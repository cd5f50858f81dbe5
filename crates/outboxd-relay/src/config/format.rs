//! `[format]`: how an event is laid out in a record.

use super::section::Section;
use super::setting::Choice;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FormatConfig {
    pub mode: FormatMode,
    /// `ce_source` of CloudEvents.
    pub source_uri: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FormatMode {
    Plain,
    CloudEvents,
}

impl FormatConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        Self {
            mode: section.value("mode", FormatMode::Plain),
            source_uri: section.optional("source_uri"),
        }
    }
}

impl Choice for FormatMode {
    const ALL: &'static [(&'static str, Self)] =
        &[("plain", Self::Plain), ("cloudevents", Self::CloudEvents)];

    fn not_yet(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::CloudEvents => Some("set it to \"plain\"; CloudEvents come in a later version"),
        }
    }
}
