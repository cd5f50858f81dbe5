//! How far a connection is encrypted, and whom it trusts.

use std::path::PathBuf;
use std::str::FromStr;

/// What the connection asks of TLS. Never applied to Unix sockets, as in libpq.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsSettings {
    pub mode: TlsMode,
    /// A file of trusted certificates. `None` with a verifying mode: those of the system.
    pub ca: Option<PathBuf>,
    /// The client certificate (chain) and its key, both in PEM.
    pub identity: Option<ClientIdentity>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientIdentity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The names are those of libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    Disable,
    /// Encrypt when the server can. Protects against nobody who can change bytes on the way.
    #[default]
    Prefer,
    /// Encrypt; check the chain only when a CA is given.
    Require,
    /// The server's certificate must be issued by a trusted CA.
    VerifyCa,
    /// The certificate must also carry the host name that was asked for.
    VerifyFull,
}

impl TlsSettings {
    /// Without a mode: `verify-full` when a CA is given, else `prefer`.
    pub fn new(
        mode: Option<TlsMode>,
        ca: Option<PathBuf>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Self, TlsSettingsError> {
        let default = if ca.is_some() { TlsMode::VerifyFull } else { TlsMode::Prefer };
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
            (None, None) => None,
            (Some(_), None) => return Err(TlsSettingsError::KeyMissing),
            (None, Some(_)) => return Err(TlsSettingsError::CertificateMissing),
        };
        Ok(Self { mode: mode.unwrap_or(default), ca, identity })
    }

    pub(super) fn verifies_chain(&self) -> bool {
        match self.mode {
            TlsMode::Disable | TlsMode::Prefer => false,
            TlsMode::Require => self.ca.is_some(),
            TlsMode::VerifyCa | TlsMode::VerifyFull => true,
        }
    }
}

impl TlsMode {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for TlsMode {
    type Err = TlsSettingsError;

    /// `allow` is read as `prefer`, which encrypts whenever `allow` would.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "disable" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            other => Err(TlsSettingsError::UnknownMode(other.to_owned())),
        }
    }
}

/// The TLS settings contradict each other.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TlsSettingsError {
    #[error("unknown TLS mode {0:?}: expected disable, prefer, require, verify-ca or verify-full")]
    UnknownMode(String),
    #[error("a client certificate is given, but not its key")]
    KeyMissing,
    #[error("the key of a client certificate is given, but not the certificate")]
    CertificateMissing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_makes_verify_full_the_default() {
        let ca = || Some(PathBuf::from("ca.pem"));
        let mode = |mode, ca| TlsSettings::new(mode, ca, None, None).unwrap().mode;
        assert_eq!(mode(None, None), TlsMode::Prefer);
        assert_eq!(mode(None, ca()), TlsMode::VerifyFull);
        assert_eq!(mode(Some(TlsMode::VerifyCa), ca()), TlsMode::VerifyCa);
    }

    #[test]
    fn require_checks_the_chain_once_there_is_a_ca() {
        let settings = |ca| TlsSettings::new(Some(TlsMode::Require), ca, None, None).unwrap();
        assert!(!settings(None).verifies_chain());
        assert!(settings(Some(PathBuf::from("ca.pem"))).verifies_chain());
    }

    #[test]
    fn half_a_client_identity_is_refused() {
        let file = || Some(PathBuf::from("client.pem"));
        assert_eq!(TlsSettings::new(None, None, file(), None), Err(TlsSettingsError::KeyMissing));
        assert_eq!(
            TlsSettings::new(None, None, None, file()),
            Err(TlsSettingsError::CertificateMissing)
        );
    }
}
