//! The payment service: pays for each order once, however often it hears of it.
//!
//! With a loop of its own, as any Kafka client has one, that ends after some messages. A service that
//! runs on takes `outboxd_client::inbox::kafka::Consumer` (docs/consuming.md): it handles partitions
//! beside each other, pauses in place of waiting, and gives partitions back in order.

use std::env;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use outboxd_client::Message;
use outboxd_client::inbox::{Handling, Inbox, Outcome};
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use tokio::time::sleep;
use tokio_postgres::{Client, Transaction};

use crate::OrderPlaced;

pub(crate) async fn run(mut client: Client, count: usize) -> Result<()> {
    let consumer = env::var("CONSUMER").unwrap_or_else(|_| "payments".to_owned());
    // Less patience than the five attempts, a second apart at first, that it has by itself.
    let inbox = Inbox::new(&consumer).max_attempts(3).backoff(FIRST_WAIT, LONGEST_WAIT);
    let kafka: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", env::var("KAFKA").context("KAFKA")?)
        .set("group.id", &consumer)
        .set("auto.offset.reset", "earliest")
        // An offset is committed after the database has committed, never by a timer.
        .set("enable.auto.commit", "false")
        .create()?;
    kafka.subscribe(&[TOPIC])?;
    for _ in 0..count {
        let record = kafka.recv().await?;
        finish(&inbox, &consumer, &mut client, &Message::from(&record)).await?;
        kafka.commit_message(&record, CommitMode::Sync)?;
    }
    Ok(())
}

/// Tries until the message is done with, so that nothing behind it overtakes it. A wait as long as
/// max.poll.interval.ms would cost the partition: pause it then, and poll on.
async fn finish(
    inbox: &Inbox,
    consumer: &str,
    client: &mut Client,
    message: &Message,
) -> Result<()> {
    let id = message.id().context("a message has an id")?;
    loop {
        // What a handler borrows is the transaction and the message; all else is moved into it.
        let outcome = inbox
            .process(&mut *client, message, |tx, message| pay(tx, message, consumer.to_owned()))
            .await?;
        match outcome {
            Outcome::Processed(()) => println!("paid {id}"),
            Outcome::Duplicate => println!("duplicate {id}"),
            Outcome::Dead { attempts } => println!("dead {id} after {attempts}"),
            Outcome::Failed { attempt, retry_at } => {
                println!("failed {id} after {attempt}");
                sleep(retry_at.duration_since(SystemTime::now()).unwrap_or_default()).await;
                continue;
            }
            Outcome::Busy => bail!("nobody leases messages here"),
        }
        return Ok(());
    }
}

/// In the transaction in which the message is noted as handled.
fn pay<'a>(
    tx: &'a mut Transaction<'_>,
    message: &'a Message,
    consumer: String,
) -> Handling<'a, (), anyhow::Error> {
    Box::pin(async move {
        let order: OrderPlaced =
            serde_json::from_slice(message.value.as_deref().context("a payload")?)?;
        tx.execute(
            "insert into payments (consumer, order_id, amount) values ($1, $2, $3)",
            &[&consumer, &order.order, &order.amount],
        )
        .await?;
        ensure!(order.amount <= LIMIT, "the card's limit is exceeded");
        Ok(())
    })
}

const TOPIC: &str = "outbox.event.order";
const LIMIT: i32 = 100_000;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
