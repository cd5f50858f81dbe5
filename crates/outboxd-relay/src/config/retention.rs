//! `[retention]`: how long rows stay in the outbox once they are published.

use std::time::Duration;

use super::section::Section;
use super::source::SourceConfig;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RetentionConfig {
    /// How often the relay calls `outbox.rotate()`; `None`: never.
    pub rotate_every: Option<Duration>,
}

impl RetentionConfig {
    pub(super) fn read(mut section: Section<'_>, source: Option<&SourceConfig>) -> Self {
        let rotate_every: Option<Duration> = section.optional("rotate_every");
        if let Some(every) = rotate_every {
            section.at_least("rotate_every", every, ROTATE_EVERY_MIN);
            if source.is_some_and(|source| source.tables.is_empty()) {
                let text = "`retention.rotate_every` is set, and `source.tables` is empty";
                section.problem("rotate_every", text, "leave it out: there is no table to rotate");
            }
        }
        Self { rotate_every }
    }
}

/// Each call truncates what it may.
const ROTATE_EVERY_MIN: Duration = Duration::from_secs(1);
