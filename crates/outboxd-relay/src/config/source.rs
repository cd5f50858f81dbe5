//! `[source]`: the database, and how to read from it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::byte_size::ByteSize;
use super::database_url::{DatabaseUrl, masked};
use super::secret::Secret;
use super::section::Section;
use super::setting::Choice;
use super::source_tls::SourceTls;

#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// For plain SQL.
    pub url: Secret,
    /// For the replication stream: its role may read everything, so it can be another one.
    pub replication_url: Secret,
    /// The database that `url` names.
    pub database: String,
    /// Gives the progress topic, the lock and the transactional id.
    pub name: String,
    /// Empty only where events come as logical messages alone.
    pub tables: Vec<String>,
    pub slot: String,
    pub publication: String,
    pub create_slot: bool,
    /// `None`: on where the server has it (17 and later).
    pub failover: Option<bool>,
    pub wal_sender_timeout: Duration,
    pub release_after: Duration,
    pub max_row_bytes: ByteSize,
    /// Transactional logical messages with this prefix are events; `None`: none are.
    pub messages_prefix: Option<String>,
    pub tls: SourceTls,
    pub channel_binding: ChannelBinding,
    /// Weak ways to log in that are allowed all the same.
    pub allow_auth: Vec<AuthMethod>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthMethod {
    Md5,
    Cleartext,
}

impl SourceConfig {
    /// `None`: there is no usable URL, which is noted.
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let url = section.secret("url", masked);
        if url.is_none() {
            let hint = "set --database-url, DATABASE_URL, or `url` under [source]";
            section.missing("url", "no database is given (`source.url`)", hint);
        }
        let text = read_url(&mut section, "url", url.as_ref());
        let database = text.as_ref().and_then(|url| database(&mut section, url));
        let replication_url = section.secret("replication_url", masked);
        read_url(&mut section, "replication_url", replication_url.as_ref());
        let slot = section.or_derived("slot", database.as_deref().map(default_slot));
        let name = section.or_derived("name", slot.clone());
        check_slot(&mut section, slot.as_deref());
        let tables = tables(&mut section);
        let publication = section.value("publication", PUBLICATION.to_owned());
        let create_slot = section.value("create_slot", false);
        let failover = section.optional("failover");
        let wal_sender_timeout = section.value("wal_sender_timeout", WAL_SENDER_TIMEOUT);
        section.at_least("wal_sender_timeout", wal_sender_timeout, TIMEOUT_MIN);
        let release_after = section.value("release_after", RELEASE_AFTER);
        section.at_least("release_after", release_after, TIMEOUT_MIN);
        let max_row_bytes = section.value("max_row_bytes", MAX_ROW_BYTES);
        let messages_prefix = messages_prefix(&mut section);
        let channel_binding = section.value("channel_binding", ChannelBinding::Prefer);
        let allow_auth = section.value("allow_auth", Vec::new());
        let tls = SourceTls::read(section.section("tls"), text.as_ref());
        let url = url?;
        Some(Self {
            replication_url: replication_url.unwrap_or_else(|| url.clone()),
            url,
            database: database?,
            name: name?,
            tables,
            slot: slot?,
            publication,
            create_slot,
            failover,
            wal_sender_timeout,
            release_after,
            max_row_bytes,
            messages_prefix,
            tls,
            channel_binding,
            allow_auth,
        })
    }
}

impl Choice for ChannelBinding {
    const ALL: &'static [(&'static str, Self)] =
        &[("disable", Self::Disable), ("prefer", Self::Prefer), ("require", Self::Require)];
}

impl Choice for AuthMethod {
    const ALL: &'static [(&'static str, Self)] =
        &[("md5", Self::Md5), ("cleartext", Self::Cleartext)];
}

/// A secret that cannot be read is noted where it was taken.
fn read_url(section: &mut Section<'_>, key: &str, url: Option<&Secret>) -> Option<SecretString> {
    let url = url?.read().ok()?;
    if DatabaseUrl::parse(url.expose_secret()).is_none() {
        let text = format!("`source.{key}` is not a postgres:// URL");
        section.problem(key, &text, "write postgres://user:password@host:5432/database");
        return None;
    }
    Some(url)
}

fn database(section: &mut Section<'_>, url: &SecretString) -> Option<String> {
    let database = DatabaseUrl::parse(url.expose_secret())?.database();
    if database.is_none() {
        let hint = "end it with the database: postgres://user@host:5432/database";
        section.missing("url", "`source.url` names no database", hint);
    }
    database
}

fn tables(section: &mut Section<'_>) -> Vec<String> {
    let tables = section.value("tables", vec![TABLE.to_owned()]);
    if tables.is_empty() && !section.is_set("messages_prefix") {
        let hint = format!(
            "leave it out for the default, {TABLE}; it may be empty where `source.messages_prefix` is set"
        );
        section.problem("tables", "`source.tables` is empty", &hint);
    }
    tables
}

fn messages_prefix(section: &mut Section<'_>) -> Option<String> {
    let prefix: Option<String> = section.optional("messages_prefix");
    if prefix.as_ref().is_some_and(|prefix| prefix.contains('\0')) {
        let hint = "use the prefix that the events are written with";
        section.problem(
            "messages_prefix",
            "`source.messages_prefix` contains a NUL character",
            hint,
        );
    }
    prefix
}

fn default_slot(database: &str) -> String {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let legal = database.chars().map(|c| if word(c) { c } else { '_' });
    "outboxd_".chars().chain(legal).take(NAME_BYTES_MAX).collect()
}

fn check_slot(section: &mut Section<'_>, slot: Option<&str>) {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if slot.is_some_and(|slot| slot.len() > NAME_BYTES_MAX || !slot.bytes().all(legal)) {
        let hint = format!("use a-z, 0-9 and _, {NAME_BYTES_MAX} at most");
        section.problem("slot", "`source.slot` is not a legal slot name", &hint);
    }
}

const TABLE: &str = "outbox.events";
const PUBLICATION: &str = "outboxd";
const WAL_SENDER_TIMEOUT: Duration = Duration::from_secs(15);
const RELEASE_AFTER: Duration = Duration::from_secs(15);
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const MAX_ROW_BYTES: ByteSize = ByteSize::mebibytes(64);
/// The longest identifier in Postgres.
const NAME_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_slot_is_a_legal_name() {
        assert_eq!(default_slot("shop"), "outboxd_shop");
        assert_eq!(default_slot("My-Shop é"), "outboxd__y__hop__");
        let longest = default_slot(&"x".repeat(100));
        assert_eq!(longest.len(), 63);
    }
}
