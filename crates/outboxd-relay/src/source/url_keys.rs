//! The query keys of a connection URL that tokio-postgres does not understand, taken out of it.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::auth::AllowedAuth;
use super::params::ParamsError;
use super::tls_settings::{TlsMode, TlsSettings};

/// What libpq knows as `sslmode`, `sslrootcert`, `sslcert`, `sslkey` and `require_auth`.
#[derive(Debug, Default)]
pub(super) struct UrlKeys {
    mode: Option<TlsMode>,
    ca: Option<PathBuf>,
    system_ca: bool,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    pub(super) allowed_auth: Option<AllowedAuth>,
}

impl UrlKeys {
    /// The keys, and the URL without them.
    pub(super) fn take(url: &str) -> Result<(Self, String), ParamsError> {
        let mut keys = Self::default();
        let Some((base, query)) = url.split_once('?') else {
            return Ok((keys, url.to_owned()));
        };
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if !keys.accept(pair)? {
                rest.push(pair);
            }
        }
        let rest = rest.join("&");
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{rest}") };
        Ok((keys, url))
    }

    pub(super) fn tls(self) -> Result<TlsSettings, ParamsError> {
        // libpq: the system's certificates are only trusted together with the name in them.
        let mode = self.mode.or(self.system_ca.then_some(TlsMode::VerifyFull));
        Ok(TlsSettings::new(mode, self.ca, self.certificate, self.key)?)
    }

    /// Whether the pair was one of ours.
    fn accept(&mut self, pair: &str) -> Result<bool, ParamsError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !OWN_KEYS.contains(&name) {
            return Ok(false);
        }
        let value = percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| ParamsError::NotUtf8 { key: name.to_owned() })?
            .into_owned();
        match name {
            "sslmode" => self.mode = Some(value.parse()?),
            "sslrootcert" if value == "system" => self.system_ca = true,
            "sslrootcert" => self.ca = Some(value.into()),
            "sslcert" => self.certificate = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            _ => self.allowed_auth = Some(value.parse()?),
        }
        Ok(true)
    }
}

const OWN_KEYS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "require_auth"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_its_keys_and_leaves_the_others() {
        let url = "postgres://u@h/d?sslmode=verify-ca&connect_timeout=3&sslrootcert=%2Fca%20x.pem";
        let (keys, rest) = UrlKeys::take(url).unwrap();
        assert_eq!(rest, "postgres://u@h/d?connect_timeout=3");
        let tls = keys.tls().unwrap();
        assert_eq!(tls.mode, TlsMode::VerifyCa);
        assert_eq!(tls.ca, Some(PathBuf::from("/ca x.pem")));
    }

    #[test]
    fn a_url_of_own_keys_only_loses_its_question_mark() {
        let (_, rest) = UrlKeys::take("postgres://u@h/d?sslmode=disable").unwrap();
        assert_eq!(rest, "postgres://u@h/d");
    }

    #[test]
    fn the_system_ca_comes_with_verify_full() {
        let (keys, _) = UrlKeys::take("postgres://u@h/d?sslrootcert=system").unwrap();
        let tls = keys.tls().unwrap();
        assert_eq!((tls.mode, tls.ca), (TlsMode::VerifyFull, None));
    }

    #[test]
    fn an_unknown_mode_is_named() {
        let error = UrlKeys::take("postgres://u@h/d?sslmode=on").unwrap_err();
        assert!(error.to_string().contains("\"on\""), "{error}");
    }
}
