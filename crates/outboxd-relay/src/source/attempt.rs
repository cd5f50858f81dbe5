//! What was tried when a login failed. The server's words say neither which server it was, nor
//! which of two connection URLs led there.

use outboxd_core::stop::Stop;

use super::error::SourceError;
use super::params::ConnectParams;
use super::tls_settings::{TlsMode, TlsSettings};

impl SourceError {
    /// [`Self::to_stop`], with where and as whom the login was tried. Never shows the password.
    pub fn to_login_stop(&self, params: &ConnectParams) -> Option<Stop> {
        let mut stop = self.to_stop()?;
        let tried = describe(params);
        stop.detail = Some(match stop.detail {
            Some(detail) => format!("{detail}\n{tried}"),
            None => tried,
        });
        Some(stop)
    }
}

fn describe(params: &ConnectParams) -> String {
    let servers: Vec<_> = params.endpoints.iter().map(ToString::to_string).collect();
    format!(
        "tried {} as user \"{}\", database \"{}\", {}",
        servers.join(", "),
        params.user,
        params.database,
        protection(&params.tls)
    )
}

fn protection(tls: &TlsSettings) -> String {
    let mode = tls.mode.as_str();
    match &tls.ca {
        Some(ca) => format!("sslmode={mode} with {}", ca.display()),
        None if matches!(tls.mode, TlsMode::VerifyCa | TlsMode::VerifyFull) => {
            format!("sslmode={mode} with the certificates that this system trusts")
        }
        None => format!("sslmode={mode}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::error::AuthError;

    #[test]
    fn says_what_was_tried_and_no_secret() {
        let params = ConnectParams::parse("postgres://relay:hunter2@a,b:5433/shop").unwrap();
        let stop = SourceError::from(AuthError::PasswordMissing).to_login_stop(&params).unwrap();
        let expected = "tried a:5432, b:5433 as user \"relay\", database \"shop\", sslmode=prefer";
        assert_eq!(stop.detail.as_deref(), Some(expected));
    }

    #[test]
    fn the_facts_of_the_failure_come_first() {
        let params = ConnectParams::parse("postgres://relay@db/shop?sslrootcert=/ca.pem").unwrap();
        let error = SourceError::Unreachable {
            endpoint: "db:5432".to_owned(),
            error: std::io::ErrorKind::ConnectionRefused.into(),
        };
        let detail = error.to_login_stop(&params).unwrap().detail.unwrap();
        let expected = "connection refused\n\
             tried db:5432 as user \"relay\", database \"shop\", sslmode=verify-full with /ca.pem";
        assert_eq!(detail, expected);
    }
}
