//! The version of a Postgres server.

use std::fmt;

/// `server_version_num`: 150004 for 15.4.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServerVersion(i32);

impl ServerVersion {
    pub(super) const UNKNOWN: Self = Self(0);

    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    pub const fn major(self) -> i32 {
        self.0 / 10_000
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_the_release_is_called() {
        let version = ServerVersion::from_number(150_004);
        assert_eq!((version.major(), version.to_string().as_str()), (15, "15.4"));
    }
}
