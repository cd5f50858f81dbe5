//! Which of the two ways of starting servers is used.

use std::env;

use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Containers of a Docker-compatible engine.
    Containers,
    /// Plain processes of this machine.
    Processes,
}

impl Flavour {
    /// `OUTBOXD_SANDBOX=containers|processes` decides; without it, containers where an engine
    /// answers, else processes.
    pub async fn choose() -> Result<Self> {
        match env::var(VARIABLE).ok().as_deref().map(Self::parse).transpose()? {
            Some(asked) => Ok(asked),
            None if engine_answers().await => Ok(Self::Containers),
            None => Ok(Self::Processes),
        }
    }

    fn parse(word: &str) -> Result<Self> {
        match word {
            "containers" => Ok(Self::Containers),
            "processes" => Ok(Self::Processes),
            other => Err(Error::UnknownFlavour(other.to_owned())),
        }
    }
}

#[cfg(feature = "containers")]
async fn engine_answers() -> bool {
    crate::containers::engine_answers().await
}

#[cfg(not(feature = "containers"))]
#[expect(clippy::unused_async, reason = "same signature as with the feature `containers`")]
async fn engine_answers() -> bool {
    false
}

const VARIABLE: &str = "OUTBOXD_SANDBOX";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_flavours_and_nothing_else_does() {
        assert_eq!(Flavour::parse("containers").unwrap(), Flavour::Containers);
        assert_eq!(Flavour::parse("processes").unwrap(), Flavour::Processes);
        assert!(
            matches!(Flavour::parse("docker"), Err(Error::UnknownFlavour(word)) if word == "docker")
        );
    }
}
