//! A payment service: takes the money for each order that it hears of. Several share the work as a
//! consumer group.

mod pay;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use outboxd_client::Message;
use outboxd_client::inbox::{Inbox, Outcome};
use outboxd_relay::control::ControlSession;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rustix::process::{Signal, getpid, kill_process};
use tokio::time::sleep;

use self::pay::{Provider, pay};
use super::{Part, Style};
use crate::demo::broker::client;
use crate::demo::database::connect;
use crate::demo::event::OrderCreated;

struct PaymentService {
    session: ControlSession,
    provider: Arc<Provider>,
    /// `None`: what comes is believed.
    inbox: Option<Inbox>,
}

pub(super) async fn serve(part: &Part) -> anyhow::Result<()> {
    let provider = Arc::new(Provider { session: connect(&part.url).await? });
    let inbox = Inbox::new(CONSUMER).backoff(AGAIN_AFTER, AGAIN_AFTER_MAX);
    let mut service = PaymentService {
        session: connect(&part.url).await?,
        provider,
        inbox: (part.style == Style::Outbox).then_some(inbox),
    };
    let consumer = consumer(part)?;
    loop {
        let record = match consumer.recv().await {
            Ok(record) => record,
            Err(error) => {
                tracing::debug!(%error, "consuming goes on");
                continue;
            }
        };
        let paid = service.handle(&Message::from(&record)).await?;
        if paid.is_some() && paid == part.crash_after {
            kill_process(getpid(), Signal::KILL)?;
        }
        // From here on Kafka may be told that it is done with, which happens now and then.
        if let Err(error) = consumer.store_offset_from_message(&record) {
            tracing::debug!(%error, "the partition was given to another");
        }
    }
}

impl PaymentService {
    /// The order, if its money was taken now.
    async fn handle(&mut self, message: &Message) -> anyhow::Result<Option<i64>> {
        match self.inbox.clone() {
            Some(inbox) => self.handle_once(&inbox, message).await,
            None => self.handle_again_and_again(message).await.map(Some),
        }
    }

    async fn handle_once(
        &mut self,
        inbox: &Inbox,
        message: &Message,
    ) -> anyhow::Result<Option<i64>> {
        loop {
            let provider = Arc::clone(&self.provider);
            let outcome =
                inbox.process(self.session.client_mut(), message, |transaction, message| {
                    let provider = Arc::clone(&provider);
                    Box::pin(async move {
                        let order = order(message)?;
                        pay(transaction, &provider, &order).await?;
                        anyhow::Ok(order.order)
                    })
                });
            match outcome.await? {
                Outcome::Processed(order) => return Ok(Some(order)),
                Outcome::Duplicate => return Ok(None),
                Outcome::Failed { retry_at, .. } => {
                    sleep(retry_at.duration_since(SystemTime::now()).unwrap_or_default()).await;
                }
                Outcome::Busy => sleep(AGAIN_AFTER).await,
                Outcome::Dead { attempts } => bail!("given up after {attempts} attempts"),
            }
        }
    }

    /// What one would write without an inbox: each statement for itself, and all of them again when
    /// one has failed.
    async fn handle_again_and_again(&mut self, message: &Message) -> anyhow::Result<i64> {
        let order = order(message)?;
        while let Err(error) = pay(self.session.client_mut(), &self.provider, &order).await {
            tracing::warn!(%error, order = order.order, "to be tried again");
            sleep(AGAIN_AFTER).await;
        }
        Ok(order.order)
    }
}

fn consumer(part: &Part) -> anyhow::Result<StreamConsumer> {
    let mut client = client(&part.bootstrap);
    client
        .set("group.id", part.names.run())
        .set("auto.offset.reset", "earliest")
        // Only what is stored is committed, and it is stored when the work is done.
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "300")
        .set("fetch.wait.max.ms", "50")
        // The least that brokers allow by default: the group goes on without one that was killed.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1000");
    let consumer: StreamConsumer = client.create().context("no Kafka consumer")?;
    // By a pattern: to topics named one by one, librdkafka gives no partitions while one is refused.
    consumer.subscribe(&[&part.names.event_topics_pattern()])?;
    Ok(consumer)
}

fn order(message: &Message) -> anyhow::Result<OrderCreated> {
    let value = message.value.as_deref().unwrap_or_default();
    serde_json::from_slice(value).context("the event cannot be read")
}

const CONSUMER: &str = "payments";
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);
