//! TLS and SASL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};

use super::SettingsError;
use crate::config::Secret;

#[derive(Clone, Debug, Default)]
pub struct Security {
    pub protocol: SecurityProtocol,
    pub login: Option<SaslLogin>,
    pub tls: TlsSettings,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SecurityProtocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Clone, Debug)]
pub struct SaslLogin {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: Secret,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Trusted instead of the system's authorities.
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub key_password: Option<Secret>,
    /// Whether a broker's certificate must carry the name it was reached by.
    pub verify_hostname: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { ca: None, certificate: None, key: None, key_password: None, verify_hostname: true }
    }
}

impl Security {
    /// Reads the secrets: each client has them as they are when it is made.
    pub(super) fn apply(&self, config: &mut ClientConfig) -> Result<(), SettingsError> {
        config.set("security.protocol", self.protocol.name());
        self.apply_login(config)?;
        self.apply_tls(config)
    }

    fn apply_login(&self, config: &mut ClientConfig) -> Result<(), SettingsError> {
        let protocol = self.protocol;
        let login = match (&self.login, protocol.has_login()) {
            (None, false) => return Ok(()),
            (None, true) => return Err(SettingsError::LoginMissing { protocol }),
            (Some(_), false) => return Err(SettingsError::LoginUnused { protocol }),
            (Some(login), true) => login,
        };
        require_feature(login.mechanism.feature(), login.mechanism.name())?;
        config.set("sasl.mechanism", login.mechanism.name());
        config.set("sasl.username", &login.username);
        config.set(PASSWORD, read(&login.password)?.expose_secret());
        Ok(())
    }

    fn apply_tls(&self, config: &mut ClientConfig) -> Result<(), SettingsError> {
        let TlsSettings { ca, certificate, key, key_password, verify_hostname } = &self.tls;
        let files = [
            ("ssl.ca.location", ca),
            ("ssl.certificate.location", certificate),
            ("ssl.key.location", key),
        ];
        if !self.protocol.has_tls() {
            let unused = files.iter().any(|(_, path)| path.is_some());
            let protocol = self.protocol;
            return if unused { Err(SettingsError::TlsUnused { protocol }) } else { Ok(()) };
        }
        require_feature("ssl", "TLS")?;
        for (property, path) in files {
            if let Some(path) = path {
                config.set(property, text(property, path)?);
            }
        }
        if let Some(password) = key_password {
            config.set(KEY_PASSWORD, read(password)?.expose_secret());
        }
        let identification = if *verify_hostname { "https" } else { "none" };
        config.set("ssl.endpoint.identification.algorithm", identification);
        Ok(())
    }
}

impl SecurityProtocol {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    const fn has_login(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl SaslMechanism {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// As `builtin.features` calls it.
    const fn feature(self) -> &'static str {
        match self {
            Self::Plain => "sasl_plain",
            Self::ScramSha256 | Self::ScramSha512 => "sasl_scram",
        }
    }
}

/// Knows the mechanisms that exist, so that one which is not built in is refused as such.
impl FromStr for SaslMechanism {
    type Err = SettingsError;

    fn from_str(name: &str) -> Result<Self, SettingsError> {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" => Ok(Self::Plain),
            "SCRAM-SHA-256" => Ok(Self::ScramSha256),
            "SCRAM-SHA-512" => Ok(Self::ScramSha512),
            known @ ("GSSAPI" | "OAUTHBEARER" | "AWS_MSK_IAM") => {
                Err(SettingsError::NotInBuild { feature: format!("SASL {known}") })
            }
            _ => Err(SettingsError::Rejected {
                property: "sasl.mechanism".to_owned(),
                reason: "known are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512".to_owned(),
            }),
        }
    }
}

fn read(secret: &Secret) -> Result<SecretString, SettingsError> {
    secret.read().map_err(|error| SettingsError::Unreadable { reason: crate::error_chain(&error) })
}

fn require_feature(feature: &str, name: &str) -> Result<(), SettingsError> {
    let built_in = ClientConfig::new()
        .create_native_config()
        .and_then(|config| config.get("builtin.features"))
        .map_err(SettingsError::from_client)?;
    if built_in.split(',').any(|built_in| built_in.trim() == feature) {
        return Ok(());
    }
    Err(SettingsError::NotInBuild { feature: name.to_owned() })
}

fn text<'a>(property: &str, path: &'a Path) -> Result<&'a str, SettingsError> {
    path.to_str().ok_or_else(|| SettingsError::Rejected {
        property: property.to_owned(),
        reason: "the path is not UTF-8".to_owned(),
    })
}

pub(super) const PASSWORD: &str = "sasl.password";
pub(super) const KEY_PASSWORD: &str = "ssl.key.password";
