//! What each role may do, tried, and what it may not, tried as well.

use anyhow::{Context, Result, ensure};
use outboxd_relay::control::ControlSession;
use outboxd_relay::migrate::{Observed, Variant, Wish, apply, plan};
use outboxd_relay::source::params::ConnectParams;
use outboxd_sandbox::{PgVersion, Postgres};
use outboxd_tests::database::{Database, connect};
use outboxd_tests::scene::unique;
use outboxd_tests::servers;
use tokio_postgres::Client;
use tokio_postgres::error::{DbError, SqlState};

use crate::{VERSIONS, database, up, wish};

const INSERT: &str = "insert into outbox.events (aggregatetype, type) values ('a', 't')";

#[tokio::test]
async fn an_application_writes_events_and_nothing_else() -> Result<()> {
    for (version, variant) in everywhere() {
        let database = with_roles(version, variant).await?;
        let client = member(&database, "outbox_application").await?;
        may(&client, INSERT).await?;
        may(&client, &format!("{INSERT} returning id")).await?;
        may(&client, "select outbox.emit('a', 'k', 't', '1')").await?;
        for sql in [
            "update outbox.events set type = 'x'",
            "delete from outbox.events",
            "select value from outbox.dead_letters",
            "update outbox.relays set acquisition = 0",
            "delete from outbox.migrations",
            "create table outbox.mine ()",
        ] {
            may_not(&client, sql).await.with_context(|| format!("{version} {variant}"))?;
        }
        match variant {
            Variant::View => {
                may_not(&client, "select pg_logical_emit_message(true, 'outbox', 'x')").await?;
            }
            _ => may_not(&client, "truncate outbox.events").await?,
        }
        if variant == Variant::Rotating {
            may_not(&client, "select outbox.rotate()").await?;
            may_not(&client, "select outbox.empty_leaf(1::smallint, true)").await?;
            may_not(
                &client,
                "insert into outbox.events_1 (aggregatetype, type, leaf) values ('a', 't', 1)",
            )
            .await?;
            may_not(&client, "select setval('outbox.current_leaf', 1)").await?;
        }
    }
    Ok(())
}

/// The right to call one function is enough to write events.
#[tokio::test]
async fn who_may_only_emit_can_do_that() -> Result<()> {
    for (version, variant) in everywhere() {
        let database = with_roles(version, variant).await?;
        let role = unique("emitter");
        database
            .execute(&format!(
                "create role {role} login; grant usage on schema outbox to {role};
                 grant execute on function outbox.emit to {role}"
            ))
            .await?;
        let client = log_in(&database, &role).await?;
        may(&client, "select outbox.emit('a', 'k', 't', '1')").await?;
        may_not(&client, INSERT).await?;
        may_not(&client, "select * from outbox.events").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_looks_and_parks_and_rotates() -> Result<()> {
    for version in VERSIONS {
        let database = with_roles(version, Variant::Rotating).await?;
        let client = member(&database, "outbox_relay").await?;
        for sql in [
            "select * from outbox.events",
            "select * from outbox.rotate()",
            "select * from outbox.rotation",
            "insert into outbox.relays (name, acquisition) values ('r', 1)",
            PARK,
            "update outbox.dead_letters set state = 'retrying' returning *",
            "select pg_ls_waldir()",
        ] {
            may(&client, sql).await?;
        }
        for sql in [
            INSERT,
            "select outbox.emit('a', 'k', 't', '1')",
            "update outbox.events set type = 'x'",
            "delete from outbox.events",
            "truncate outbox.events",
            "truncate outbox.events_1",
            "delete from outbox.dead_letters",
            "update outbox.rotation set sealed_at = null",
            "select pg_drop_replication_slot('x')",
        ] {
            may_not(&client, sql).await.with_context(|| format!("{version}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn one_that_streams_has_no_right_on_a_table() -> Result<()> {
    for version in VERSIONS {
        let database = with_roles(version, Variant::Plain).await?;
        let role = unique("streamer");
        database.execute(&format!("create role {role} login replication")).await?;
        let client = log_in(&database, &role).await?;
        let slot = format!("select pg_create_logical_replication_slot('{role}', 'pgoutput', true)");
        may(&client, &slot).await?;
        for sql in ["select * from outbox.events", INSERT, "select * from outbox.dead_letters"] {
            may_not(&client, sql).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_never_sees_a_value() -> Result<()> {
    for version in VERSIONS {
        let database = with_roles(version, Variant::Plain).await?;
        database.execute(PARK).await?;
        let client = member(&database, "outbox_operator").await?;
        for sql in [
            "select id, relay, position, state, kind, event_id, topic, key, error_message, headers,
                    parked_behind, attempts, complete, first_failed_at, last_failed_at, resolved_at,
                    resolved_by, note from outbox.dead_letters",
            "update outbox.dead_letters set state = 'retrying', resolved_by = 'me', note = 'n'
              where relay = 'r' and resolved_at is null and complete returning id",
            "update outbox.dead_letters set state = 'discarded' where id = 1",
            "select pg_notify('outboxd_dead_letters', 'r')",
        ] {
            may(&client, sql).await?;
        }
        for sql in [
            "select value from outbox.dead_letters",
            "select length(value) from outbox.dead_letters",
            "select * from outbox.dead_letters",
            "update outbox.dead_letters set state = 'dead' returning value",
            "update outbox.dead_letters set value = null",
            "update outbox.dead_letters set topic = 'other'",
            "update outbox.dead_letters set resolved_at = null",
            "insert into outbox.dead_letters (relay, position, complete, kind, state) values ('r', '2', true, 'k', 'dead')",
            "delete from outbox.dead_letters",
            "select * from outbox.events",
            INSERT,
        ] {
            may_not(&client, sql).await.with_context(|| format!("{version}"))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn everything_has_an_owner_who_cannot_log_in() -> Result<()> {
    for (version, variant) in everywhere() {
        let database = with_roles(version, variant).await?;
        let others = database
            .query(
                "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = 'outbox' and pg_get_userbyid(c.relowner) <> 'outbox_owner'
                 union all
                 select p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                  where n.nspname = 'outbox' and pg_get_userbyid(p.proowner) <> 'outbox_owner'
                 union all
                 select rolname::text from pg_roles where rolname ~ '^outbox_' and rolcanlogin",
            )
            .await?;
        let others: Vec<String> = others.iter().map(|row| row.get(0)).collect();
        ensure!(others.is_empty(), "{version} {variant}: {others:?}");
    }
    Ok(())
}

/// Whoever has the database and may make roles needs no superuser, but for the view.
#[tokio::test]
async fn no_superuser_is_needed() -> Result<()> {
    for version in VERSIONS {
        let server =
            outboxd_sandbox::Postgres::start(outboxd_tests::servers::options(version)).await?;
        let admin = Database::create(&server, "shop").await?;
        admin
            .execute(
                "create role boss login createrole;
                 grant create on database shop to boss with grant option;
                 grant pg_monitor to boss with admin option",
            )
            .await?;
        let url = admin.url().replace("postgres@", "boss@");
        let params = ConnectParams::parse(&url)?;
        let session = ControlSession::connect(&params).await?;
        let wish = Wish { roles: true, ..wish(Variant::Rotating) };
        let observed = Observed::read(&session, &wish).await?;
        apply::apply(&session, &plan(&wish, &observed)?).await?;
        let again = Observed::read(&session, &wish).await?;
        ensure!(plan(&wish, &again)?.is_empty(), "{version}");
        may(&member(&admin, "outbox_application").await?, INSERT).await?;
        may(&member(&admin, "outbox_relay").await?, "select * from outbox.rotate(force => true)")
            .await?;
    }
    Ok(())
}

fn everywhere() -> impl Iterator<Item = (PgVersion, Variant)> {
    VERSIONS.into_iter().flat_map(|version| Variant::ALL.map(|variant| (version, variant)))
}

async fn with_roles(version: PgVersion, variant: Variant) -> Result<Database> {
    let database = database(version).await?;
    up(&database, &Wish { roles: true, ..wish(variant) }).await?;
    Ok(database)
}

/// A login of its own that is in that role.
async fn member(database: &Database, role: &str) -> Result<Client> {
    let name = unique("login");
    database.execute(&format!("create role {name} login in role {role}")).await?;
    log_in(database, &name).await
}

async fn log_in(database: &Database, role: &str) -> Result<Client> {
    connect(&database.url().replace("postgres@", &format!("{role}@"))).await
}

async fn may(client: &Client, sql: &str) -> Result<()> {
    client.query(sql, &[]).await.map(drop).with_context(|| format!("may not: {sql}"))
}

/// Refused for want of a right, and for nothing else.
async fn may_not(client: &Client, sql: &str) -> Result<()> {
    let error = client.query(sql, &[]).await.err().with_context(|| format!("may: {sql}"))?;
    let code = error.code().map(SqlState::code);
    // A view has no rows that could be changed, whoever asks.
    let of_view = |refusal: &DbError| {
        refusal.message() == "cannot update view \"events\""
            || refusal.message() == "cannot delete from view \"events\""
    };
    let is_of_view = error.as_db_error().is_some_and(of_view);
    ensure!(code == Some("42501") || is_of_view, "{sql}: {error:?}");
    Ok(())
}

const PARK: &str = "insert into outbox.dead_letters (relay, position, value, complete, kind, state)
                    values ('r', '1', 'secret', true, 'record_too_large', 'dead')";
