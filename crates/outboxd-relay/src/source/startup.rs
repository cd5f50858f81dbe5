//! The first messages of a session: who we are, what the server should set, what it then reports.

use std::time::Duration;

use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};

use super::auth::{Credentials, authenticate};
use super::error::{ProtocolError, SourceError};
use super::frame::BackendFrame;
use super::framer::Framer;
use super::params::ConnectParams;

/// What the relay wants of its session.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// After this long without a status the server takes us for dead.
    pub wal_sender_timeout: Duration,
    /// A CopyData above this is skimmed.
    pub max_row_bytes: usize,
}

/// What the server said of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServerInfo {
    /// As `server_version_num`: 150018 for 15.18.
    pub version_num: u32,
    /// As the server writes it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// The server process at the other end.
    pub process_id: i32,
}

/// Logs in and waits until the server is ready for a query.
pub(super) async fn start<S: AsyncRead + AsyncWrite + Unpin>(
    framer: &mut Framer<S>,
    params: &ConnectParams,
    options: SessionOptions,
    end_point: Option<Vec<u8>>,
) -> Result<ServerInfo, SourceError> {
    let settings = settings(params, options);
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    framer.send(|out| frontend::startup_message(settings, out))?;
    let credentials = Credentials {
        user: &params.user,
        password: params.password.as_ref(),
        channel_binding: params.channel_binding,
        end_point,
        allowed: params.allowed_auth,
    };
    authenticate(framer, &credentials).await?;
    ready(framer).await
}

async fn ready<S: AsyncRead + AsyncWrite + Unpin>(
    framer: &mut Framer<S>,
) -> Result<ServerInfo, SourceError> {
    let mut info = ServerInfo::default();
    loop {
        match framer.next().await? {
            BackendFrame::ParameterStatus { name, value } if name == "server_version" => {
                info.version_num = version_num(&value).ok_or(ProtocolError::Answer("startup"))?;
                info.version = value;
            }
            BackendFrame::BackendKey { process_id } => info.process_id = process_id,
            BackendFrame::ParameterStatus { .. } | BackendFrame::Notice(_) => {}
            BackendFrame::Error(error) => return Err(SourceError::Server(error)),
            BackendFrame::ReadyForQuery if info.version_num > 0 => return Ok(info),
            _ => return Err(ProtocolError::Unexpected("message during startup").into()),
        }
    }
}

/// The settings stand behind the user's own `options`, so that they win.
fn settings(params: &ConnectParams, options: SessionOptions) -> Vec<(&'static str, String)> {
    let application_name = params.application_name.as_deref().unwrap_or(APPLICATION_NAME);
    let wal_sender_timeout = options.wal_sender_timeout.as_millis().to_string();
    let mut settings = vec![
        ("user", params.user.clone()),
        ("database", params.database.clone()),
        ("replication", "database".to_owned()),
        ("application_name", application_name.to_owned()),
        ("wal_sender_timeout", wal_sender_timeout),
    ];
    settings.extend(params.options.clone().map(|options| ("options", options)));
    settings.extend(FIXED_SETTINGS.map(|(name, value)| (name, value.to_owned())));
    settings
}

/// `15.18 (Debian …)`, `18beta1` → 150018, 180000.
fn version_num(version: &str) -> Option<u32> {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse::<u32>().ok()
    };
    let minor = version.split_once('.').and_then(|(_, rest)| digits(rest)).unwrap_or(0);
    digits(version)?.checked_mul(10_000)?.checked_add(minor)
}

const APPLICATION_NAME: &str = "outboxd";

/// The first four fix the text in which rows arrive, whatever the role or database has set. An idle
/// session must end by itself, since its advisory lock lives as long as it does.
const FIXED_SETTINGS: [(&str, &str); 10] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("idle_session_timeout", "15s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_version() {
        assert_eq!(version_num("15.18 (Debian 15.18-0+deb12u1)"), Some(150_018));
        assert_eq!(version_num("14.23"), Some(140_023));
        assert_eq!(version_num("18beta1"), Some(180_000));
        assert_eq!(version_num("99999999999.1"), None);
        assert_eq!(version_num("4294967295.4294967295"), None);
        assert_eq!(version_num(""), None);
    }

    #[test]
    fn our_settings_come_after_the_users_options() {
        let url = "postgres://u@h/d?options=-c%20statement_timeout%3D1&application_name=shop";
        let params = ConnectParams::parse(url).unwrap();
        let wal_sender_timeout = Duration::from_secs(15);
        let settings = settings(&params, SessionOptions { wal_sender_timeout, max_row_bytes: 1 });
        let place = |wanted| settings.iter().position(|(name, _)| *name == wanted).unwrap();
        assert!(place("options") < place("statement_timeout"));
        assert_eq!(settings[place("wal_sender_timeout")].1, "15000");
        assert_eq!(settings[place("application_name")].1, "shop");
    }
}
