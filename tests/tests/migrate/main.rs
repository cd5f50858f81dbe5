//! Migrations on real servers: what they leave, how each variant of the outbox behaves, and what
//! each role may and may not do.

mod catalog;
mod limits;
mod printed;
mod roles;
mod rotation;
mod runs;
mod variants;
mod view;

use anyhow::{Context, Result};
use outboxd_relay::control::ControlSession;
use outboxd_relay::migrate::{Observed, Part, Plan, Variant, Wish, apply, plan};
use outboxd_relay::setup;
use outboxd_relay::source::params::ConnectParams;
use outboxd_sandbox::PgVersion;
use outboxd_tests::database::Database;
use outboxd_tests::scene::unique;
use outboxd_tests::servers;

/// The oldest and the newest.
const VERSIONS: [PgVersion; 2] = [PgVersion::V14, PgVersion::V18];

fn wish(variant: Variant) -> Wish {
    let parts = vec![Part::Outbox, Part::DeadLetters];
    Wish { parts, variant: Some(variant), schema: None, roles: false }
}

/// An empty database on a shared server.
async fn database(version: PgVersion) -> Result<Database> {
    Database::create(servers::postgres(version).await?, &unique("m")).await
}

async fn session(database: &Database) -> Result<ControlSession> {
    let params = ConnectParams::parse(database.url()).context("a url")?;
    Ok(ControlSession::connect(&params).await?)
}

/// What `migrate up` does; gives what there was to do.
async fn up(database: &Database, wish: &Wish) -> Result<Plan> {
    let session = session(database).await?;
    setup::lock(&session).await?;
    let observed = Observed::read(&session, wish).await?;
    let plan = plan(wish, &observed)?;
    apply::apply(&session, &plan).await?;
    Ok(plan)
}

/// The first column of the first row.
async fn text(database: &Database, sql: &str) -> Result<String> {
    let rows = database.query(sql).await?;
    Ok(rows.first().context("no row")?.get(0))
}
