//! Tables of other shapes.

use anyhow::{Result, ensure};
use outboxd_client::outbox::{ColumnNames, Event, KeyType, OptionalColumn, Outbox, PayloadType};
use outboxd_client::testing::{Appended, appended};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::backend::database;

/// Appends one event alone and one with another, by two drivers, and reads them back.
async fn both_ways(
    table: &str,
    outbox: &Outbox,
    event: impl Fn() -> Event,
) -> Result<Vec<Appended>> {
    let database = database().await?;
    database.execute(table).await?;
    let mut client = database.connect().await?;
    let mut transaction = client.transaction().await?;
    outbox.append(&mut transaction, event()).await?;
    outbox.append_all(&mut transaction, [event(), event()]).await?;
    transaction.commit().await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    let mut transaction = sqlx::Connection::begin(&mut connection).await?;
    outbox.append(&mut transaction, event()).await?;
    outbox.append_all(&mut transaction, [event(), event()]).await?;
    let events = appended(outbox, &mut transaction).await?;
    transaction.commit().await?;
    let mut transaction = client.transaction().await?;
    ensure!(appended(outbox, &mut transaction).await? == events, "the drivers read differently");
    ensure!(events.len() == 6, "{events:?}");
    Ok(events)
}

#[tokio::test]
async fn debeziums_five_columns() -> Result<()> {
    let table = "create table public.outboxevent (id uuid primary key, aggregatetype varchar(255)
                 not null, aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb)";
    let columns = ColumnNames { headers: OptionalColumn::Off, ..ColumnNames::default() };
    let outbox = Outbox::new().table("outboxevent")?.columns(columns);
    let event = || Event::new("Order", 7, "OrderPlaced").bytes(r#"{"a":1}"#);
    for event in both_ways(table, &outbox, event).await? {
        ensure!(event.payload.as_deref() == Some(br#"{"a": 1}"#), "{event:?}");
    }
    Ok(())
}

#[tokio::test]
async fn other_names_and_the_optional_columns() -> Result<()> {
    let table = r#"create schema "Shop"; create table "Shop"."Log ""1""" (no uuid, "Kind" text,
                 entity text, name text, body jsonb, meta jsonb, target text, shard text)"#;
    let columns = ColumnNames {
        id: "no".to_owned(),
        aggregate_type: OptionalColumn::Named("Kind".to_owned()),
        aggregate_id: OptionalColumn::Named("entity".to_owned()),
        event_type: OptionalColumn::Named("name".to_owned()),
        payload: "body".to_owned(),
        headers: OptionalColumn::Named("meta".to_owned()),
        topic: Some("target".to_owned()),
        partition_key: Some("shard".to_owned()),
        ..ColumnNames::default()
    };
    let outbox = Outbox::new().table(r#"Shop."Log ""1""""#)?.columns(columns);
    let event = || Event::new("a b", 7, "x").topic("orders").partition_key("s").header("h", "v");
    for event in both_ways(table, &outbox, event).await? {
        ensure!(event.topic.as_deref() == Some("orders"), "{event:?}");
        ensure!(event.partition_key.as_deref() == Some("s"), "{event:?}");
        ensure!(event.headers["h"] == "v" && event.aggregate_type == "a b", "{event:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_type_of_payload_and_key() -> Result<()> {
    let uuid = Uuid::new_v4();
    let any = [0_u8, 255, b'\\', b'x'];
    let text = r#"{"b":1, "b":"\u0000"}"#;
    for (payload, key, bytes, id) in [
        (PayloadType::Bytea, KeyType::Uuid, &any[..], uuid.to_string()),
        (PayloadType::Json, KeyType::BigInt, text.as_bytes(), i64::MIN.to_string()),
        (PayloadType::Text, KeyType::Text, "not JSON ü".as_bytes(), "ü".to_owned()),
        (PayloadType::Bytea, KeyType::Text, b"", String::new()),
    ] {
        let types = match key {
            KeyType::Text => "varchar(40)",
            KeyType::Uuid => "uuid",
            KeyType::BigInt => "bigint",
        };
        let table = format!(
            "create table public.log (id uuid, aggregatetype text, aggregateid {types}, type text,
             payload {payload}, headers jsonb)"
        );
        let outbox = Outbox::new().table("log")?.payload_type(payload).key_type(key);
        let event = || Event::new("Order", &id, "x").bytes(bytes);
        for event in both_ways(&table, &outbox, event).await? {
            ensure!(event.payload.as_deref() == Some(bytes), "{payload}: {event:?}");
            ensure!(event.aggregate_id.as_deref() == Some(&id), "{event:?}");
        }
    }
    Ok(())
}
