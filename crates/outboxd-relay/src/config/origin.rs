//! Where a value came from. It is shown to the operator, and decides between a key and its
//! `_file` twin.

use std::fmt;

/// In rising order of precedence.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Origin {
    Default,
    /// Worked out from other values.
    Derived,
    /// Path and line.
    File(String),
    Variable(String),
    Flag(String),
}

impl Origin {
    /// Reads back what [`fmt::Display`] wrote: the configuration library carries origins as text.
    pub(super) fn parse(text: &str) -> Self {
        if let Some(flag) = text.strip_prefix(FLAG) {
            return Self::Flag(flag.to_owned());
        }
        if let Some(name) = text.strip_prefix(VARIABLE) {
            return Self::Variable(name.to_owned());
        }
        Self::File(text.strip_prefix(FILE).unwrap_or(text).to_owned())
    }

    /// Both come from the same kind of place, so neither wins over the other.
    pub(super) fn same_layer(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived => f.write_str("derived"),
            Self::File(place) => write!(f, "{FILE}{place}"),
            Self::Variable(name) => write!(f, "{VARIABLE}{name}"),
            Self::Flag(name) => write!(f, "{FLAG}{name}"),
        }
    }
}

const FILE: &str = "file ";
const VARIABLE: &str = "environment variable ";
const FLAG: &str = "flag ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_through_text() {
        for origin in [
            Origin::File("flag --x.toml:3".to_owned()),
            Origin::Variable("DATABASE_URL".to_owned()),
            Origin::Flag("--kafka".to_owned()),
        ] {
            assert_eq!(Origin::parse(&origin.to_string()), origin);
        }
    }
}
