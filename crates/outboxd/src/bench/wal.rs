//! How much write-ahead log an event costs whoever writes it: each variant of the outbox, and what
//! a consumer writes for a message that it has handled.

use anyhow::ensure;
use outboxd_relay::control::ControlSession;
use outboxd_relay::migrate::{Observed, Part, Variant, Wish, apply, plan};
use outboxd_relay::source::params::ConnectParams;
use serde::Serialize;
use tokio_postgres::Client;

use super::figures::cell;
use super::server::{Server, connect};
use super::table::Table;

/// One way to write an event, in bytes of log for each: one to a transaction, and many.
#[derive(Debug, Serialize)]
pub(crate) struct Wal {
    what: String,
    alone: Vec<f64>,
    together: Vec<f64>,
}

pub(crate) async fn measure(server: &Server, rounds: u32) -> anyhow::Result<Vec<Wal>> {
    // A page that is written whole after a checkpoint would count for the row that comes first.
    server.sql.batch_execute("alter system set full_page_writes = off").await?;
    server.sql.batch_execute("select pg_reload_conf()").await?;
    let mut costs = Vec::new();
    for variant in Variant::ALL {
        let wish =
            Wish { parts: vec![Part::Outbox], variant: Some(variant), schema: None, roles: false };
        let what = format!("outbox, {variant}");
        costs.extend(cost(server, &wish, what, EVENT, rounds).await?);
    }
    let inbox = Wish { parts: vec![Part::Inbox], variant: None, schema: None, roles: false };
    costs.extend(
        cost(server, &inbox, "inbox, a message handled".to_owned(), MESSAGE, rounds).await?,
    );
    Ok(costs)
}

/// In a database of its own. `None`: this program has no files for it.
async fn cost(
    server: &Server,
    wish: &Wish,
    what: String,
    insert: &str,
    rounds: u32,
) -> anyhow::Result<Option<Wal>> {
    let name = what.replace([',', ' '], "_");
    server.sql.batch_execute(&format!("create database {name}")).await?;
    let url = server.postgres.url(&name);
    let session = ControlSession::connect(&ConnectParams::parse(&url)?).await?;
    let plan = plan(wish, &Observed::read(&session, wish).await?)?;
    if plan.is_empty() {
        return Ok(None);
    }
    apply::apply(&session, &plan).await?;
    let client = connect(&url).await?;
    client.batch_execute("set synchronous_commit = off").await?;
    let mut wal = Wal { what, alone: Vec::new(), together: Vec::new() };
    // The first pass makes the table's first pages, and is not counted.
    written(&client, insert, TOGETHER).await?;
    for _ in 0..rounds {
        wal.alone.push(written(&client, insert, 1).await?);
        wal.together.push(written(&client, insert, TOGETHER).await?);
    }
    Ok(Some(wal))
}

/// Bytes of log for each of [`EVENTS`].
async fn written(client: &Client, insert: &str, per_transaction: u32) -> anyhow::Result<f64> {
    let before: String = client.query_one(POSITION, &[]).await?.get(0);
    client
        .batch_execute(&format!(
            "do $$ begin for i in 1..{EVENTS} loop {insert};
             if i % {per_transaction} = 0 then commit; end if; end loop; end $$"
        ))
        .await?;
    let since = "select (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::float8";
    let bytes: f64 = client.query_one(since, &[&before]).await?.get(0);
    ensure!(bytes > 0.0, "nothing was written");
    Ok(bytes / f64::from(EVENTS))
}

pub(crate) fn table(costs: &[Wal]) -> Table {
    let title = format!("Write-ahead log of an event with a payload of {PAYLOAD_BYTES} bytes");
    let many = format!("{TOGETHER} per transaction, B");
    let mut table = Table::new(&title, &["written", "1 per transaction, B", &many]);
    for Wal { what, alone, together } in costs {
        let bytes = |values: &[f64]| cell(values.iter().copied(), 0);
        table.row([what.clone(), bytes(alone), bytes(together)]);
    }
    table
}

const EVENTS: u32 = 5_000;
const TOGETHER: u32 = 100;
const PAYLOAD_BYTES: u32 = 433;
const POSITION: &str = "select pg_current_wal_insert_lsn()::text";

/// The payload is text in quotes.
const EVENT: &str = "insert into outbox.events (aggregatetype, aggregateid, type, payload)
     values ('order', (1000000 + i)::text, 'OrderPlaced', to_jsonb(repeat('x', 431)))";

/// What a consumer adds to its own transaction.
const MESSAGE: &str = "insert into inbox.messages (consumer, message_id, state, topic, partition, \"offset\", completed_at)
     values ('payments', gen_random_uuid(), 'COMPLETED', 'outbox.event.order', 1, i, now())
     on conflict do nothing";
