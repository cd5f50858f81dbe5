//! A payment service: a database with an inbox, and payments as effects.

use std::time::Duration;

use outboxd_client::inbox::{HandlerError, Handling, Inbox, InboxError, Outcome};
use outboxd_client::{Header, Message};
use outboxd_sandbox::PgVersion;
use outboxd_tests::database::Database;
use outboxd_tests::patience::eventually;
use outboxd_tests::scene::unique;
use outboxd_tests::servers;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

pub(crate) struct Shop {
    pub(crate) database: Database,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        Self::on(PgVersion::V17).await
    }

    pub(crate) async fn on(version: PgVersion) -> Self {
        let server = servers::postgres(version).await.unwrap();
        let database = Database::create(server, &unique("shop")).await.unwrap();
        for sql in [INBOX, PAYMENTS] {
            database.execute(sql).await.unwrap();
        }
        Self { database }
    }

    pub(crate) async fn client(&self) -> Client {
        self.database.connect().await.unwrap()
    }

    /// How many payments there are for an order.
    pub(crate) async fn payments(&self, order: &str) -> i64 {
        let sql = "select count(*) from payments where order_id = $1";
        self.database.client().query_one(sql, &[&order]).await.unwrap().get(0)
    }

    /// State and attempts of a message's row.
    pub(crate) async fn row(&self, message: &Message) -> Option<(String, i32)> {
        let sql = "select state, attempts from inbox.messages where message_id = $1";
        let row = self.database.client().query_opt(sql, &[&message.id().unwrap()]).await.unwrap();
        row.map(|row| (row.get(0), row.get(1)))
    }

    /// As if the time had come to try again what failed, or for leases to end.
    pub(crate) async fn let_time_pass(&self) {
        let sql = "update inbox.messages set next_attempt_at = now() - interval '1 s'
                    where next_attempt_at is not null";
        self.database.execute(sql).await.unwrap();
    }

    /// The same after a process died whose transaction may still hold its row.
    pub(crate) async fn let_time_pass_when_free(&self) {
        let sql = "select count(*) from pg_stat_activity
                    where datname = current_database() and state like 'idle in transaction%'";
        eventually("no transaction is open", || async move {
            Ok((self.database.query(sql).await?[0].get::<_, i64>(0) == 0).then_some(()))
        })
        .await
        .unwrap();
        self.let_time_pass().await;
    }
}

/// With delays that no test waits for.
pub(crate) fn inbox() -> Inbox {
    let hour = Duration::from_secs(3600);
    Inbox::new("payments").backoff(hour, hour)
}

/// An event about an order, which is its key.
pub(crate) fn order(key: &str, offset: i64) -> Message {
    message(Uuid::now_v7(), key, offset)
}

pub(crate) fn message(id: Uuid, key: &str, offset: i64) -> Message {
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: Some(value.as_bytes().to_vec()),
    };
    Message {
        topic: "outbox.event.order".to_owned(),
        partition: 0,
        offset,
        key: Some(key.as_bytes().to_vec()),
        value: Some(b"{\"amount\": 7}".to_vec()),
        headers: vec![header("id", &id.to_string()), header("type", "OrderCreated")],
        timestamp_ms: Some(1_700_000_000_000),
    }
}

pub(crate) fn with_header(mut message: Message, name: &str, value: &str) -> Message {
    let value = Some(value.as_bytes().to_vec());
    message.headers.push(Header { name: name.to_owned(), value });
    message
}

/// The effect: a payment for the order of the message.
pub(crate) fn pay<'a>(
    tx: &'a mut Transaction<'_>,
    message: &'a Message,
) -> Handling<'a, u64, HandlerError> {
    Box::pin(async move {
        let order = std::str::from_utf8(message.key.as_deref().unwrap_or_default())?;
        let sql = "insert into payments (order_id, event_id) values ($1, $2)";
        Ok(tx.execute(sql, &[&order, &message.id()]).await?)
    })
}

/// Pays, and fails then.
pub(crate) fn pay_and_fail<'a>(
    tx: &'a mut Transaction<'_>,
    message: &'a Message,
) -> Handling<'a, u64, HandlerError> {
    Box::pin(async move {
        pay(tx, message).await?;
        Err("card declined".into())
    })
}

pub(crate) async fn try_pay(
    client: &mut Client,
    inbox: &Inbox,
    message: &Message,
) -> Result<Outcome<u64>, InboxError> {
    inbox.process(client, message, |tx, message| pay(tx, message)).await
}

pub(crate) async fn try_and_fail(
    client: &mut Client,
    inbox: &Inbox,
    message: &Message,
) -> Result<Outcome<u64>, InboxError> {
    inbox.process(client, message, |tx, message| pay_and_fail(tx, message)).await
}

const INBOX: &str = include_str!("../../../migrations/inbox/0001_inbox.sql");
const PAYMENTS: &str = "
    create table payments (
        id bigint generated always as identity primary key, order_id text not null,
        event_id uuid)";
