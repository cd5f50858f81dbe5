//! From an append to the record that a consumer reads.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use outboxd_client::outbox::{AppendError, Event, Outbox};
use outboxd_client::{Header, Message};
use outboxd_core::murmur2::partition;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Record;

const CAUSE: &str = "018f3c1e-7a00-7000-8000-000000000001";

#[tokio::test]
async fn an_appended_event_is_published_as_promised() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(4).await?;
    let mut relay = scene.relay().start().await?;
    let outbox = Outbox::new();
    let id = Header { name: "id".to_owned(), value: Some(CAUSE.as_bytes().to_vec()) };
    let cause = Message { headers: vec![id], ..Message::default() };
    let full = Event::new(scene.kind(), "o-7", "OrderPlaced")
        .bytes(r#"{"total":1290,"currency":"EUR"}"#)
        .header("tenant", "acme")
        .caused_by(&cause);
    let bare = Event::without_key(scene.kind(), "OrderForgotten");
    let before = unix_ms()?;
    let mut client = scene.database.connect().await?;
    let mut rolled_back = client.transaction().await?;
    outbox.append(&mut rolled_back, Event::new(scene.kind(), "o-0", "OrderPlaced")).await?;
    rolled_back.rollback().await?;
    let mut transaction = client.transaction().await?;
    let full_id = outbox.append(&mut transaction, full).await?;
    let many: Vec<Event> =
        (0..100).map(|number| Event::new(scene.kind(), "o-8", number.to_string())).collect();
    outbox.append_all(&mut transaction, many).await?;
    outbox.append(&mut transaction, bare).await?;
    transaction.commit().await?;
    let records = topic.read_at_least(102).await?;
    ensure!(records.len() == 102, "{} records", records.len());
    let of = |kind: &str| records.iter().find(|record| record.header("type") == Some(kind));
    let (Some(full), Some(bare)) = (of("OrderPlaced"), of("OrderForgotten")) else {
        anyhow::bail!("{records:?}")
    };
    ensure!(full.key_text() == "o-7" && full.partition == partition(Some(b"o-7"), b"", 4));
    ensure!(full.value_text() == r#"{"total": 1290, "currency": "EUR"}"#, "{full:?}");
    ensure!(full.header("id") == Some(&full_id.to_string()), "{full:?}");
    ensure!(full.header("tenant") == Some("acme"), "{full:?}");
    ensure!(full.header("correlationid") == Some(CAUSE), "{full:?}");
    ensure!(full.header("causationid") == Some(CAUSE), "{full:?}");
    ensure!(full.headers.len() == 6, "{full:?}");
    ensure!(full.timestamp_ms.is_some_and(|at| (before..=unix_ms().unwrap_or(0)).contains(&at)));
    ensure!(bare.key.is_none() && bare.value.is_none() && bare.headers.len() == 3, "{bare:?}");
    in_the_order_of_their_append(&records, full, bare)?;
    ensure!(relay.terminate().await?.success());
    Ok(())
}

/// By the sequence, and in their partition.
fn in_the_order_of_their_append(records: &[Record], first: &Record, last: &Record) -> Result<()> {
    let many: Vec<&Record> = records.iter().filter(|it| it.key_text() == "o-8").collect();
    let types: Vec<&str> = many.iter().filter_map(|record| record.header("type")).collect();
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    ensure!(types == expected, "{types:?}");
    let sequences = [first].into_iter().chain(many).chain([last]);
    let sequences: Vec<_> = sequences.filter_map(|record| record.header("sequence")).collect();
    ensure!(sequences.len() == 102 && sequences.is_sorted(), "{sequences:?}");
    Ok(())
}

/// What an append lets through, a topic with the brokers' default takes.
#[tokio::test]
async fn the_largest_event_fits_a_topic_with_default_limits() -> Result<()> {
    let scene = Scene::new().await?;
    let topic = scene.topic(1).await?;
    let mut relay = scene.relay().start().await?;
    let mut client = scene.database.connect().await?;
    let outbox = Outbox::new();
    // Each comma becomes two bytes.
    let event = |numbers: usize| {
        let payload = format!("[{}1]", "1,".repeat(numbers));
        Event::new(scene.kind(), "o-7", "OrderPlaced").header("h", "v".repeat(1_000)).bytes(payload)
    };
    let (mut fits, mut exceeds) = (0, 900 * 1024);
    while exceeds - fits > 1 {
        let middle = usize::midpoint(fits, exceeds);
        let mut transaction = client.transaction().await?;
        match outbox.append(&mut transaction, event(middle)).await {
            Ok(_) => fits = middle,
            Err(AppendError::TooLarge { .. }) => exceeds = middle,
            Err(error) => return Err(error.into()),
        }
        transaction.rollback().await?;
    }
    let mut transaction = client.transaction().await?;
    outbox.append(&mut transaction, event(fits)).await?;
    transaction.commit().await?;
    let record = topic.read_at_least(1).await?.remove(0);
    let value = record.value.as_ref().map_or(0, Vec::len);
    ensure!(value == 3 * fits + 3 && value > 900 * 1024 - 1_300, "{value} bytes");
    ensure!(relay.terminate().await?.success());
    Ok(())
}

fn unix_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
