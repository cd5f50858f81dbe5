//! Where and as whom to connect: a `postgres://` URL, parsed.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::config::{ChannelBinding as UrlChannelBinding, Config, Host};
use tokio_postgres::config::{SslNegotiation, TargetSessionAttrs};

use super::auth::{AllowedAuth, UnknownAuth};
use super::tls_settings::{TlsSettings, TlsSettingsError};
use super::url_keys::UrlKeys;

/// Everything needed to log in. `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct ConnectParams {
    /// Tried in order; never empty.
    pub endpoints: Vec<Endpoint>,
    pub user: String,
    pub password: Option<SecretString>,
    pub database: String,
    pub application_name: Option<String>,
    /// Server settings of the user's own (`-c name=value …`). Those of the session win over them.
    pub options: Option<String>,
    /// For one endpoint: from the first packet to the end of the login.
    pub connect_timeout: Duration,
    pub keepalives: Option<Keepalives>,
    pub tcp_user_timeout: Duration,
    /// Pass over servers in recovery.
    pub primary_only: bool,
    pub tls: TlsSettings,
    pub channel_binding: ChannelBinding,
    pub allowed_auth: AllowedAuth,
}

/// One server to try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    pub host: EndpointHost,
    pub port: u16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndpointHost {
    /// `address` saves the look-up; the name is still what a certificate must carry.
    Tcp { name: String, address: Option<IpAddr> },
    /// The directory of the socket.
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalives {
    pub idle: Duration,
    pub interval: Duration,
    pub retries: u32,
}

/// Whether a login must be bound to the TLS channel, so that nobody in between can relay it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

impl ConnectParams {
    pub fn parse(url: &str) -> Result<Self, ParamsError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(ParamsError::NotAUrl);
        }
        let (keys, url) = UrlKeys::take(url)?;
        let config: Config = url.parse().map_err(ParamsError::Url)?;
        let user = config.get_user().ok_or(ParamsError::UserMissing)?.to_owned();
        let allowed_auth = keys.allowed_auth.unwrap_or_default();
        Ok(Self {
            endpoints: endpoints(&config)?,
            password: password(&config)?,
            database: config.get_dbname().unwrap_or(&user).to_owned(),
            user,
            application_name: config.get_application_name().map(str::to_owned),
            options: config.get_options().map(str::to_owned),
            connect_timeout: config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT),
            keepalives: keepalives(&config),
            tcp_user_timeout: config.get_tcp_user_timeout().copied().unwrap_or(USER_TIMEOUT),
            primary_only: primary_only(&config)?,
            tls: tls(keys, &config)?,
            channel_binding: config.get_channel_binding().into(),
            allowed_auth,
        })
    }
}

impl From<UrlChannelBinding> for ChannelBinding {
    fn from(binding: UrlChannelBinding) -> Self {
        match binding {
            UrlChannelBinding::Disable => Self::Disable,
            UrlChannelBinding::Require => Self::Require,
            _ => Self::Prefer,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            EndpointHost::Tcp { name, .. } if name.contains(':') => {
                write!(f, "[{name}]:{}", self.port)
            }
            EndpointHost::Tcp { name, .. } => write!(f, "{name}:{}", self.port),
            EndpointHost::Unix(directory) => {
                write!(f, "{}/.s.PGSQL.{}", directory.display(), self.port)
            }
        }
    }
}

/// The connection URL cannot be used. Never contains the password.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    #[error("not a postgres:// URL")]
    NotAUrl,
    #[error("the connection URL is not valid")]
    Url(#[source] tokio_postgres::Error),
    #[error("the connection URL names no user")]
    UserMissing,
    #[error("the connection URL names no host")]
    HostMissing,
    #[error("the connection URL has {hosts} hosts, but {other} {what}")]
    HostsDoNotMatch { hosts: usize, other: usize, what: &'static str },
    #[error("the value of {key} in the connection URL is not UTF-8")]
    NotUtf8 { key: String },
    #[error("target_session_attrs=read-only: a relay needs the primary")]
    ReadOnlyTarget,
    #[error("sslnegotiation=direct is not supported")]
    DirectTls,
    #[error(transparent)]
    Tls(#[from] TlsSettingsError),
    #[error(transparent)]
    Auth(#[from] UnknownAuth),
}

fn endpoints(config: &Config) -> Result<Vec<Endpoint>, ParamsError> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let count = hosts.len().max(addresses.len());
    if count == 0 {
        return Err(ParamsError::HostMissing);
    }
    if !addresses.is_empty() && !hosts.is_empty() && addresses.len() != hosts.len() {
        let other = addresses.len();
        return Err(ParamsError::HostsDoNotMatch { hosts: hosts.len(), other, what: "addresses" });
    }
    (0..count)
        .map(|index| {
            let host = endpoint_host(hosts.get(index), addresses.get(index))?;
            Ok(Endpoint { host, port: port(config.get_ports(), index, count)? })
        })
        .collect()
}

fn endpoint_host(host: Option<&Host>, address: Option<&IpAddr>) -> Result<EndpointHost, ParamsError> {
    match (host, address) {
        (Some(Host::Unix(directory)), _) => Ok(EndpointHost::Unix(directory.clone())),
        (Some(Host::Tcp(name)), address) => {
            Ok(EndpointHost::Tcp { name: name.clone(), address: address.copied() })
        }
        (None, Some(address)) => {
            Ok(EndpointHost::Tcp { name: address.to_string(), address: Some(*address) })
        }
        (None, None) => Err(ParamsError::HostMissing),
    }
}

/// One port may serve all hosts.
fn port(ports: &[u16], index: usize, hosts: usize) -> Result<u16, ParamsError> {
    match ports {
        [] => Ok(DEFAULT_PORT),
        [port] => Ok(*port),
        ports => ports.get(index).copied().filter(|_| ports.len() == hosts).ok_or(
            ParamsError::HostsDoNotMatch { hosts, other: ports.len(), what: "ports" },
        ),
    }
}

fn password(config: &Config) -> Result<Option<SecretString>, ParamsError> {
    let Some(password) = config.get_password() else { return Ok(None) };
    match std::str::from_utf8(password) {
        Ok(password) => Ok(Some(SecretString::from(password))),
        Err(_) => Err(ParamsError::NotUtf8 { key: "password".to_owned() }),
    }
}

fn keepalives(config: &Config) -> Option<Keepalives> {
    let idle = config.get_keepalives_idle();
    config.get_keepalives().then(|| Keepalives {
        // The parser does not tell "not given" from its own default.
        idle: if idle == PARSER_KEEPALIVE_IDLE { KEEPALIVES.idle } else { idle },
        interval: config.get_keepalives_interval().unwrap_or(KEEPALIVES.interval),
        retries: config.get_keepalives_retries().unwrap_or(KEEPALIVES.retries),
    })
}

/// Of several servers only the primary serves; a single one is taken as it is, unless asked for.
fn primary_only(config: &Config) -> Result<bool, ParamsError> {
    let several = config.get_hosts().len().max(config.get_hostaddrs().len()) > 1;
    match config.get_target_session_attrs() {
        TargetSessionAttrs::Any => Ok(several),
        TargetSessionAttrs::ReadOnly => Err(ParamsError::ReadOnlyTarget),
        _ => Ok(true),
    }
}

fn tls(keys: UrlKeys, config: &Config) -> Result<TlsSettings, ParamsError> {
    match config.get_ssl_negotiation() {
        SslNegotiation::Postgres => keys.tls(),
        _ => Err(ParamsError::DirectTls),
    }
}

const DEFAULT_PORT: u16 = 5432;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVES: Keepalives = Keepalives {
    idle: Duration::from_secs(10),
    interval: Duration::from_secs(5),
    retries: 3,
};
const PARSER_KEEPALIVE_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::source::tls_settings::TlsMode;

    fn parse(url: &str) -> ConnectParams {
        ConnectParams::parse(url).unwrap()
    }

    fn endpoints(url: &str) -> Vec<String> {
        parse(url).endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn takes_a_plain_url_apart() {
        let params = parse("postgres://relay:s%40crt@db.example:6432/shop?connect_timeout=3");
        assert_eq!(params.endpoints[0].to_string(), "db.example:6432");
        assert_eq!((params.user.as_str(), params.database.as_str()), ("relay", "shop"));
        assert_eq!(params.password.unwrap().expose_secret(), "s@crt");
        assert_eq!(params.connect_timeout, Duration::from_secs(3));
        assert_eq!(params.tls, TlsSettings::default());
        assert!(!params.primary_only);
    }

    #[test]
    fn debug_output_hides_the_password() {
        let shown = format!("{:?}", parse("postgres://relay:hunter2@db/shop"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_broken_url_does_not_leak_the_password() {
        for url in ["postgres://u:hunter2@h:notaport/d", "postgres://u:hunter2@h/d?nosuchkey=1"] {
            let error = ConnectParams::parse(url).unwrap_err();
            let shown = format!("{error:?} {error} {:?}", std::error::Error::source(&error));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn several_hosts_are_tried_in_order_and_mean_the_primary() {
        let url = "postgres://u@a:1,b:2,[::1]:3/d";
        assert_eq!(endpoints(url), ["a:1", "b:2", "[::1]:3"]);
        assert!(parse(url).primary_only);
        assert!(parse("postgres://u@a/d?target_session_attrs=read-write").primary_only);
        assert!(matches!(
            ConnectParams::parse("postgres://u@a/d?target_session_attrs=read-only"),
            Err(ParamsError::ReadOnlyTarget)
        ));
    }

    #[test]
    fn a_socket_directory_may_stand_in_either_place() {
        let expected = ["/run/postgresql/.s.PGSQL.5432"];
        assert_eq!(endpoints("postgres://u@/d?host=/run/postgresql"), expected);
        assert_eq!(endpoints("postgres://u@%2Frun%2Fpostgresql/d"), expected);
    }

    #[test]
    fn tls_keys_of_libpq_are_understood() {
        let params = parse(
            "postgresql://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem\
             &channel_binding=require&require_auth=scram-sha-256,md5",
        );
        assert_eq!(params.tls.mode, TlsMode::VerifyFull);
        assert_eq!(params.tls.identity.unwrap().key, PathBuf::from("/k.pem"));
        assert_eq!(params.channel_binding, ChannelBinding::Require);
        assert!(params.allowed_auth.md5 && !params.allowed_auth.cleartext);
    }

    #[test]
    fn keepalives_are_short_unless_given() {
        assert_eq!(parse("postgres://u@h/d").keepalives, Some(KEEPALIVES));
        let given = parse("postgres://u@h/d?keepalives_idle=60&keepalives_retries=9");
        let given = given.keepalives.unwrap();
        assert_eq!((given.idle, given.retries), (Duration::from_secs(60), 9));
        assert_eq!(parse("postgres://u@h/d?keepalives=0").keepalives, None);
    }

    #[test]
    fn unusable_urls_are_told_apart() {
        use ParamsError::{HostMissing, HostsDoNotMatch, NotAUrl, UserMissing};
        let error = |url| ConnectParams::parse(url).unwrap_err();
        assert!(matches!(error("host=h user=u"), NotAUrl));
        assert!(matches!(error("postgres://h/d"), UserMissing));
        assert!(matches!(error("postgres://u@/d"), HostMissing));
        assert!(matches!(
            error("postgres://u@a/d?hostaddr=127.0.0.1,127.0.0.2"),
            HostsDoNotMatch { hosts: 1, other: 2, .. }
        ));
    }
}
