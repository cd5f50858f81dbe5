//! A payment service as a process of its own, for tests that kill it: pays each order of a topic.
//!
//! Arguments: database, bootstrap servers, topic, interval of the offset commits in milliseconds.

use std::future::pending;

use anyhow::{Context, Result};
use deadpool_postgres::{Manager, Pool};
use outboxd_client::Message;
use outboxd_client::inbox::kafka::Consumer;
use outboxd_client::inbox::{HandlerError, Handling, Inbox};
use outboxd_tests::topic::Cluster;
use tokio_postgres::{NoTls, Transaction};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().with_context(|| format!("an argument: {what}"));
    let manager = Manager::new(next("database")?.parse()?, NoTls);
    let pool = Pool::builder(manager).max_size(4).build()?;
    let mut config = Cluster::new(&next("bootstrap servers")?).config();
    let topic = next("topic")?;
    config.set("group.id", &topic).set("session.timeout.ms", "6000");
    config.set("auto.commit.interval.ms", next("commit interval")?);
    let consumer = Consumer::new(Inbox::new("payments"), config, &[&topic]);
    Ok(consumer.run(&pool, pay, pending()).await?)
}

fn pay<'a>(tx: &'a mut Transaction<'_>, message: &'a Message) -> Handling<'a, (), HandlerError> {
    Box::pin(async move {
        let order = std::str::from_utf8(message.value.as_deref().unwrap_or_default())?;
        let sql = "insert into payments (order_id, event_id) values ($1, $2)";
        tx.execute(sql, &[&order, &message.id()]).await?;
        Ok(())
    })
}
