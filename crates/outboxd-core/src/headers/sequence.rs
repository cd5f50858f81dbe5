//! The header `sequence`: where an event stands in the log, as text that sorts.

use std::fmt;
use std::str::FromStr;

use crate::lsn::Lsn;
use crate::record::Identity;

/// Printed as `<epoch, 4>-<commit LSN, 16>-<ordinal, 8>`, all in upper-case hexadecimal digits of
/// fixed width: of two events of one relay, the later one has the greater text.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Sequence {
    /// Rises when another system or timeline is adopted, where positions may start over.
    pub epoch: u16,
    pub at: Identity,
}

impl Sequence {
    /// Appends the text.
    pub fn write(self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.digits());
    }

    fn digits(self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        hex(self.epoch.into(), &mut text[..4]);
        hex(self.at.commit_lsn.as_u64(), &mut text[5..21]);
        hex(self.at.ordinal.into(), &mut text[22..]);
        text
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.digits()))
    }
}

/// Not the text of a sequence.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected <epoch, 4>-<commit LSN, 16>-<ordinal, 8> in hexadecimal digits")]
pub struct InvalidSequence;

impl FromStr for Sequence {
    type Err = InvalidSequence;

    fn from_str(text: &str) -> Result<Self, InvalidSequence> {
        let mut parts = text.split('-');
        let mut digits = |width| {
            let part = parts.next().filter(|part| part.len() == width).ok_or(InvalidSequence)?;
            u64::from_str_radix(part, 16).map_err(|_| InvalidSequence)
        };
        let (epoch, commit_lsn, ordinal) = (digits(4)?, digits(16)?, digits(8)?);
        let at = Identity {
            commit_lsn: Lsn::new(commit_lsn),
            ordinal: u32::try_from(ordinal).map_err(|_| InvalidSequence)?,
        };
        let sequence = Self { epoch: u16::try_from(epoch).map_err(|_| InvalidSequence)?, at };
        // Signs, lower case and what follows would be another text.
        if sequence.to_string() == text { Ok(sequence) } else { Err(InvalidSequence) }
    }
}

/// Fills `text` with the lowest digits of `number`.
fn hex(mut number: u64, text: &mut [u8]) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789ABCDEF"[(number & 0xf) as usize];
        number >>= 4;
    }
}

const LENGTH: usize = 4 + 1 + 16 + 1 + 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequence((epoch, commit_lsn, ordinal): (u16, u64, u32)) -> Sequence {
        Sequence { epoch, at: Identity { commit_lsn: Lsn::new(commit_lsn), ordinal } }
    }

    #[test]
    fn has_the_documented_form() {
        let text = sequence((1, 0x16B_3748, 2)).to_string();
        assert_eq!(text, "0001-00000000016B3748-00000002");
        let last = sequence((u16::MAX, u64::MAX, u32::MAX)).to_string();
        assert_eq!(last, "FFFF-FFFFFFFFFFFFFFFF-FFFFFFFF");
    }

    proptest! {
        #[test]
        fn sorts_as_text_as_it_does_as_numbers(a: (u16, u64, u32), b: (u16, u64, u32)) {
            let (left, right) = (sequence(a), sequence(b));
            prop_assert_eq!(left.to_string().cmp(&right.to_string()), a.cmp(&b));
            let expected = format!("{:04X}-{:016X}-{:08X}", a.0, a.1, a.2);
            prop_assert_eq!(left.to_string(), expected);
        }
    }
}
