//! Servers that the tests of one binary share: one broker, and one Postgres of each version.
//!
//! For tests that leave them unharmed and keep to a database and topics of their own. They are
//! never dropped; the sandbox ends them with this process.

use anyhow::Result;
use outboxd_sandbox::{Kafka, KafkaOptions, PgOptions, PgVersion, Postgres};
use tokio::sync::OnceCell;

pub async fn kafka() -> Result<&'static Kafka> {
    static KAFKA: OnceCell<Kafka> = OnceCell::const_new();
    Ok(KAFKA.get_or_try_init(|| Kafka::start(KafkaOptions::default())).await?)
}

pub async fn postgres(version: PgVersion) -> Result<&'static Postgres> {
    static SERVERS: [OnceCell<Postgres>; PgVersion::ALL.len()] =
        [const { OnceCell::const_new() }; PgVersion::ALL.len()];
    let index = PgVersion::ALL.iter().position(|&one| one == version);
    let server = &SERVERS[index.expect("ALL has every version")];
    Ok(server.get_or_try_init(|| Postgres::start(options(version))).await?)
}

/// Room for a slot of every test, and no fsync: no test that shares a server crashes it.
pub fn options(version: PgVersion) -> PgOptions {
    let settings = [
        ("max_replication_slots", "200"),
        ("max_wal_senders", "100"),
        ("max_connections", "300"),
        ("max_prepared_transactions", "100"),
        ("fsync", "off"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    PgOptions { settings, ..PgOptions::of(version) }
}
