//! Sizes in bytes, written as `32MiB`.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct ByteSize(u64);

impl ByteSize {
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn mebibytes(mebibytes: u32) -> Self {
        Self((mebibytes as u64) << 20)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// For buffers in memory; sizes past the address space saturate.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// In the largest binary unit that divides it, so that what is printed reads back unchanged.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |&&(_, factor): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(factor);
        let (unit, factor) = PRINTED.iter().find(exact).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a size such as 32MiB: {0:?}")]
pub struct ParseByteSizeError(String);

impl FromStr for ByteSize {
    type Err = ParseByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseByteSizeError(text.to_owned());
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits_end);
        let number: u64 = digits.parse().map_err(|_| error())?;
        let unit = unit.trim_start();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        number.checked_mul(*factor).map(Self).ok_or_else(error)
    }
}

const PRINTED: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_unit() {
        let bytes = |text: &str| text.parse::<ByteSize>().map(ByteSize::as_u64);
        assert_eq!(bytes("0B"), Ok(0));
        assert_eq!(bytes("7B"), Ok(7));
        assert_eq!(bytes("3kB"), Ok(3_000));
        assert_eq!(bytes("2KiB"), Ok(2_048));
        assert_eq!(bytes("2MB"), Ok(2_000_000));
        assert_eq!(bytes("32 MiB"), Ok(33_554_432));
        assert_eq!(bytes("1GB"), Ok(1_000_000_000));
        assert_eq!(bytes("1GiB"), Ok(1_073_741_824));
    }

    #[test]
    fn refuses_what_is_not_a_size() {
        let past_u64 = "17179869184GiB";
        for text in ["", "MiB", "1", "-1B", "1.5MiB", "1mib", "1 B ", "1KB", past_u64] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(bytes: u64, shift in 0u32..64) {
            let size = ByteSize::bytes((bytes >> shift) << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
