//! `[source.tls]`: how the connection to Postgres is protected.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::database_url::DatabaseUrl;
use super::section::Section;
use super::setting::Choice;

#[derive(Clone, Debug)]
pub struct SourceTls {
    pub mode: TlsMode,
    /// The mode stands in the configuration itself, so that it wins over `sslmode` of a URL.
    pub mode_is_set: bool,
    pub ca: Option<PathBuf>,
    /// A client certificate; never without `key`.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SourceTls {
    /// The mode is what `mode` says, else `sslmode` of the URL, else as strict as can be checked.
    pub(super) fn read(mut section: Section<'_>, url: Option<&SecretString>) -> Self {
        let ca = section.file("ca");
        let cert = section.file("cert");
        let key = section.file("key");
        let strictest = if ca.is_some() { TlsMode::VerifyFull } else { TlsMode::Prefer };
        let mode = match url.and_then(sslmode).as_deref().map(TlsMode::named) {
            Some(Some(mode)) => section.or_derived("mode", Some(mode)).unwrap_or(mode),
            Some(None) => {
                let text = "`sslmode` in the database URL is not one that is known";
                section.problem("mode", text, &format!("it must be {}", TlsMode::names()));
                section.value("mode", strictest)
            }
            None => section.value("mode", strictest),
        };
        if cert.is_some() != key.is_some() {
            let text = "`source.tls.cert` and `source.tls.key` belong together";
            section.problem("cert", text, "give both, or neither");
        }
        if mode == TlsMode::Disable && ca.is_some() {
            let text = "`source.tls.ca` has no effect with `source.tls.mode = \"disable\"`";
            section.problem("ca", text, "leave out one of the two");
        }
        Self { mode, mode_is_set: section.is_set("mode"), ca, cert, key }
    }
}

impl TlsMode {
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
    }

    fn names() -> String {
        <Self as super::setting::Setting>::expected()
    }
}

impl Choice for TlsMode {
    const ALL: &'static [(&'static str, Self)] = &[
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

fn sslmode(url: &SecretString) -> Option<String> {
    DatabaseUrl::parse(url.expose_secret())?.parameter("sslmode")
}
