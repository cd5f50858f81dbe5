//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A log sequence number: a byte position in the write-ahead log, printed as `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Lsn(u64);

impl Lsn {
    /// No position: what Postgres calls `InvalidXLogRecPtr`.
    pub const ZERO: Self = Self(0);

    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Bytes from `earlier` to `self`; 0 when `earlier` is not earlier.
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text is not of the form `16/B374D848`.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
#[error("not a log sequence number: {0:?}")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseLsnError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(error)?;
        let part = |digits: &str| match digits.len() {
            1..=8 if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).map_err(|_| error())
            }
            _ => Err(error()),
        };
        Ok(Self(part(high)? << 32 | part(low)?))
    }
}

impl serde::Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_as_postgres_does() {
        let lsn = Lsn::new(0x16_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!("16/B374D848".parse(), Ok(lsn));
        assert_eq!("0/0".parse(), Ok(Lsn::ZERO));
    }

    #[test]
    fn refuses_what_postgres_would_refuse() {
        for text in ["", "/", "1", "1/", "/1", "1/123456789", "g/1", "+1/1", "1/ 1"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn reaches_from_zero_to_the_last_position() {
        let last = Lsn::new(u64::MAX);
        assert_eq!(last.to_string(), "FFFFFFFF/FFFFFFFF");
        assert_eq!("ffffffff/FFFFFFFF".parse(), Ok(last));
        assert_eq!(Lsn::new(0x1_0000_0000).to_string(), "1/0");
        assert_eq!(Lsn::new(0xFFFF_FFFF).to_string(), "0/FFFFFFFF");
        assert!(Lsn::new(0xFFFF_FFFF) < Lsn::new(0x1_0000_0000));
    }

    #[test]
    fn distance_never_wraps() {
        let last = Lsn::new(u64::MAX);
        assert_eq!(last.bytes_since(Lsn::ZERO), u64::MAX);
        assert_eq!(Lsn::ZERO.bytes_since(last), 0);
        assert_eq!(last.bytes_since(last), 0);
        assert_eq!(last.bytes_since(Lsn::new(u64::MAX - 1)), 1);
    }

    #[test]
    fn a_refusal_quotes_the_text() {
        let error = "123456789/0".parse::<Lsn>().expect_err("nine digits");
        assert_eq!(error.to_string(), "not a log sequence number: \"123456789/0\"");
        assert!(serde_json::from_str::<Lsn>("\"0-0\"").is_err());
        assert!(serde_json::from_str::<Lsn>("7").is_err());
    }

    proptest::proptest! {
        #[test]
        fn text_and_json_keep_every_position(raw: u64) {
            let lsn = Lsn::new(raw);
            proptest::prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
            let json = serde_json::to_string(&lsn).expect("an LSN is a JSON string");
            proptest::prop_assert_eq!(&json, &format!("\"{lsn}\""));
            proptest::prop_assert_eq!(serde_json::from_str::<Lsn>(&json).ok(), Some(lsn));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,20}|[0-9a-fA-F]{0,9}/[0-9a-fA-F]{0,9}") {
            if let Ok(lsn) = text.parse::<Lsn>() {
                proptest::prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
            }
        }
    }
}
