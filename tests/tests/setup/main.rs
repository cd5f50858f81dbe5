//! Setting a database up, and what is found wrong with one, on real servers.

#![expect(clippy::unwrap_used, reason = "a test ends at its first failure, helpers included")]

mod idempotence;
mod login;
mod problems;
mod publication;
mod slots;
mod tls;

use outboxd_core::relation::{ColumnNames, TableName};
use outboxd_relay::control::ControlSession;
use outboxd_relay::setup::{self, Observed, SetupPlan, Wish};
use outboxd_relay::source::params::ConnectParams;
use outboxd_sandbox::{PgOptions, PgVersion, Postgres};

const DATABASE: &str = "postgres";
const SLOT: &str = "outboxd_postgres";

/// The oldest, the newest, and those between at which the catalog changed its columns.
const VERSIONS: [PgVersion; 4] = [PgVersion::V14, PgVersion::V15, PgVersion::V16, PgVersion::V18];

async fn server(version: PgVersion) -> Postgres {
    Postgres::start(PgOptions::of(version)).await.unwrap()
}

async fn server_with(version: PgVersion, settings: &[(&str, &str)]) -> Postgres {
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let options = PgOptions { settings: settings.collect(), ..PgOptions::of(version) };
    Postgres::start(options).await.unwrap()
}

fn params(postgres: &Postgres) -> ConnectParams {
    ConnectParams::parse(&postgres.url(DATABASE)).unwrap()
}

async fn session(postgres: &Postgres) -> ControlSession {
    ControlSession::connect(&params(postgres)).await.unwrap()
}

fn events() -> TableName {
    TableName::new("outbox", "events")
}

fn wish(tables: Vec<TableName>) -> Wish {
    Wish {
        database: DATABASE.to_owned(),
        tables,
        columns: ColumnNames::default(),
        publication: "outboxd".to_owned(),
        slot: SLOT.to_owned(),
        failover: true,
        streaming_role: "postgres".to_owned(),
        progress_topic: None,
        roles: false,
    }
}

/// Does all that a plan says; the slot by SQL, in place of the replication session.
async fn set_up(session: &ControlSession, wish: &Wish) -> SetupPlan {
    setup::lock(session).await.unwrap();
    let observed = Observed::read(session, wish).await.unwrap();
    let plan = setup::plan(wish, &observed).unwrap();
    setup::apply_statements(session, &plan).await.unwrap();
    if let Some(slot) = &plan.slot {
        create_slot(session, &slot.name).await;
    }
    plan
}

async fn create_slot(session: &ControlSession, name: &str) {
    let sql = format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')");
    session.execute(&sql).await.unwrap();
}
