//! `[headers]`: which of the relay's own headers are sent.

use super::section::Section;
use super::setting::Choice;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeadersConfig {
    /// `Id` is always among them: it is what consumers recognise a duplicate by.
    pub include: Vec<RelayHeader>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RelayHeader {
    Id,
    Type,
    Sequence,
}

impl HeadersConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let all = vec![RelayHeader::Id, RelayHeader::Type, RelayHeader::Sequence];
        let wanted = section.value("include", all.clone());
        let sent = |header: &RelayHeader| *header == RelayHeader::Id || wanted.contains(header);
        Self { include: all.into_iter().filter(sent).collect() }
    }
}

impl Choice for RelayHeader {
    const ALL: &'static [(&'static str, Self)] =
        &[("id", Self::Id), ("type", Self::Type), ("sequence", Self::Sequence)];
}
