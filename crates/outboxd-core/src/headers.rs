//! The headers of a record: the relay's own, then those of mapped columns, then the row's.
//!
//! A name is never given twice by different sources: the relay's names (`id`, `type`, `sequence`,
//! all that begins with `outboxd-`) and those of mapped columns are kept from the row, whether
//! or not this record carries them, so that a consumer can trust where a header comes from.

mod row;
mod rules;
mod sequence;

use std::borrow::Cow;

pub use row::HeadersError;
pub use rules::HeaderRules;
pub use sequence::{InvalidSequence, Sequence};

use crate::record::HeaderBuffer;

/// Which of the relay's own headers are sent, besides `id`, which always is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeaderChoice {
    pub event_type: bool,
    pub sequence: bool,
}

impl Default for HeaderChoice {
    fn default() -> Self {
        Self { event_type: true, sequence: true }
    }
}

/// Something else than `id`, `type` or `sequence`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown header {0:?} (there are {ID}, {TYPE} and {SEQUENCE})")]
pub struct UnknownHeader(pub String);

impl HeaderChoice {
    /// Reads the list of `headers.include`.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownHeader> {
        let mut choice = Self { event_type: false, sequence: false };
        for name in names {
            match name {
                ID => {}
                TYPE => choice.event_type = true,
                SEQUENCE => choice.sequence = true,
                _ => return Err(UnknownHeader(name.to_owned())),
            }
        }
        Ok(choice)
    }

    /// Writes the relay's own headers.
    pub fn write(
        self,
        event_id: &str,
        event_type: &str,
        sequence: Sequence,
        headers: &mut HeaderBuffer,
    ) {
        headers.push(ID, event_id.as_bytes());
        if self.event_type {
            headers.push(TYPE, event_type.as_bytes());
        }
        if self.sequence {
            headers.push_with(SEQUENCE, |value| sequence.write(value));
        }
    }
}

/// Why a row's header of this name is not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameRefused {
    #[error("is one of the relay's own (id, type, sequence, outboxd-…)")]
    Own,
    #[error("is that of a mapped column")]
    Mapped,
    #[error("contains a NUL character")]
    Nul,
}

/// Whether a name is the relay's own.
pub(crate) fn is_own(name: &str) -> bool {
    matches!(name, ID | TYPE | SEQUENCE) || name.starts_with(OWN_PREFIX)
}

/// Names of a row's headers that were not sent because they are taken.
pub type Dropped<'a> = Vec<Cow<'a, str>>;

pub(crate) const SCHEMA_VERSION: &str = "schema_version";
pub(crate) const CONTENT_TYPE: &str = "content_type";
const ID: &str = "id";
const TYPE: &str = "type";
const SEQUENCE: &str = "sequence";
/// Marks what may have been published before.
pub const REPLAY: &str = "outboxd-replay";
const OWN_PREFIX: &str = "outboxd-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;
    use crate::record::Identity;

    fn written(choice: HeaderChoice) -> Vec<(String, String)> {
        let at = Identity { commit_lsn: Lsn::new(0x16B_3748), ordinal: 2 };
        let mut buffer = HeaderBuffer::default();
        choice.write("1f", "Placed", Sequence { epoch: 1, at }, &mut buffer);
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        buffer.as_headers().iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }

    #[test]
    fn the_id_is_always_sent_and_the_others_by_choice() {
        let all = HeaderChoice::from_names(["sequence", "type"]).unwrap();
        assert_eq!(all, HeaderChoice::default());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sequence = pair("sequence", "0001-00000000016B3748-00000002");
        assert_eq!(written(all), [pair("id", "1f"), pair("type", "Placed"), sequence.clone()]);
        let none = HeaderChoice::from_names([]).unwrap();
        assert_eq!(written(none), [pair("id", "1f")]);
        let one = HeaderChoice::from_names(["id", "sequence"]).unwrap();
        assert_eq!(written(one), [pair("id", "1f"), sequence]);
    }

    #[test]
    fn an_unknown_choice_is_named() {
        let error = HeaderChoice::from_names(["types"]).unwrap_err();
        assert_eq!(error.to_string(), "unknown header \"types\" (there are id, type and sequence)");
    }
}
