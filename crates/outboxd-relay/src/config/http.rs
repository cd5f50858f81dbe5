//! `[http]`: where health and metrics are served.

use std::net::{Ipv4Addr, SocketAddr};

use config::Value;

use super::section::Section;
use super::setting::{Setting, text};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpConfig {
    pub listen: Listen,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Listen {
    Off,
    Address(SocketAddr),
}

impl HttpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
        Self { listen: section.value("listen", Listen::Address(default)) }
    }
}

impl Setting for Listen {
    fn expected() -> String {
        "an address such as \"127.0.0.1:8970\", or \"off\"".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        match text(value)? {
            "off" => Some(Self::Off),
            address => address.parse().ok().map(Self::Address),
        }
    }

    fn print(&self) -> toml::Value {
        match self {
            Self::Off => toml::Value::from("off"),
            Self::Address(address) => toml::Value::String(address.to_string()),
        }
    }
}

const DEFAULT_PORT: u16 = 8970;
