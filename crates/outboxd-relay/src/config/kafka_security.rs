//! `[kafka.security]`: encryption and login. PLAINTEXT, TLS, and SASL with PLAIN or SCRAM.

use std::path::PathBuf;

use super::secret::Secret;
use super::section::Section;
use super::setting::Choice;

#[derive(Clone, Debug)]
pub struct KafkaSecurity {
    pub protocol: SecurityProtocol,
    /// There exactly when the protocol has a login.
    pub sasl: Option<Sasl>,
    pub tls: KafkaTls,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Clone, Debug)]
pub struct Sasl {
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
pub struct KafkaTls {
    pub ca: Option<PathBuf>,
    /// A client certificate; never without `key`.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub key_password: Option<Secret>,
}

impl KafkaSecurity {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let protocol = section.value("protocol", SecurityProtocol::Plaintext);
        let sasl = Sasl::read(section.section("sasl"), protocol);
        let tls = KafkaTls::read(section.section("tls"), protocol);
        Self { protocol, sasl, tls }
    }
}

impl SecurityProtocol {
    /// The name that librdkafka knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    pub fn has_login(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

impl SaslMechanism {
    /// The name that librdkafka knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Sasl {
    fn read(mut section: Section<'_>, protocol: SecurityProtocol) -> Option<Self> {
        let mechanism = section.optional("mechanism");
        let username = section.optional("username");
        let password = section.secret("password", |_| "***".to_owned());
        let given = [mechanism.is_some(), username.is_some(), password.is_some()];
        if protocol.has_login() && given.contains(&false) {
            let text = "a login to Kafka needs `mechanism`, `username` and `password`";
            let hint = "give all three under [kafka.security.sasl]; password_file reads a file";
            section.missing("mechanism", text, hint);
        }
        if !protocol.has_login() && given.contains(&true) {
            let text = "`kafka.security.sasl` is given, but the protocol has no login";
            let hint = "set `kafka.security.protocol` to \"SASL_SSL\" or \"SASL_PLAINTEXT\"";
            section.problem("username", text, hint);
        }
        Some(Self { mechanism: mechanism?, username: username?, password: password? })
    }
}

impl KafkaTls {
    fn read(mut section: Section<'_>, protocol: SecurityProtocol) -> Self {
        let ca = section.file("ca");
        let cert = section.file("cert");
        let key = section.file("key");
        let key_password = section.secret("key_password", |_| "***".to_owned());
        if cert.is_some() != key.is_some() {
            let text = "`kafka.security.tls.cert` and `kafka.security.tls.key` belong together";
            section.problem("cert", text, "give both, or neither");
        }
        if !protocol.has_tls() && (ca.is_some() || cert.is_some()) {
            let text = "`kafka.security.tls` is given, but the protocol is not encrypted";
            let hint = "set `kafka.security.protocol` to \"SSL\" or \"SASL_SSL\"";
            section.problem("ca", text, hint);
        }
        Self { ca, cert, key, key_password }
    }
}

impl Choice for SecurityProtocol {
    const ALL: &'static [(&'static str, Self)] = &[
        ("PLAINTEXT", Self::Plaintext),
        ("SSL", Self::Ssl),
        ("SASL_PLAINTEXT", Self::SaslPlaintext),
        ("SASL_SSL", Self::SaslSsl),
    ];
}

impl Choice for SaslMechanism {
    const ALL: &'static [(&'static str, Self)] = &[
        ("PLAIN", Self::Plain),
        ("SCRAM-SHA-256", Self::ScramSha256),
        ("SCRAM-SHA-512", Self::ScramSha512),
    ];
}
