//! How long nothing is published when the active relay is killed and another stands by.
//!
//! A row is committed right after the kill. What counts is when it arrives, by the broker's clock.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rustix::process::Signal;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::broker::Broker;
use super::figures;
use super::load::Lane;
use super::relay::{Mode, Route};
use super::server::{Server, Transport};
use super::table::Table;
use crate::cmd::bench::BenchArgs;

#[derive(Debug, Serialize)]
pub(crate) struct TakeOver {
    mode: Mode,
    /// From the kill to the first record of the successor.
    ms: f64,
}

pub(crate) async fn measure(
    server: &Server,
    broker: &Broker,
    args: &BenchArgs,
) -> anyhow::Result<Vec<TakeOver>> {
    let mut taken = Vec::new();
    for round in 1..=args.rounds.get() {
        for &mode in &args.mode {
            eprintln!("bench: take-over, {}: round {round} of {}", mode.name(), args.rounds);
            let ms = run(server, broker, mode, taken.len()).await?;
            taken.push(TakeOver { mode, ms });
        }
    }
    Ok(taken)
}

async fn run(server: &Server, broker: &Broker, mode: Mode, number: usize) -> anyhow::Result<f64> {
    let slot = format!("takeover_{number}");
    server.create_slot(&slot).await?;
    let topic = broker.create_topic().await?;
    let url = server.url(Transport::Tcp)?;
    let route = Route { url, slot: &slot, topic: Some(&topic), mode };
    route.set_up().await?;
    let mut active = route.start()?;
    active.streaming(server, &slot).await?;
    let mut standby = route.start()?;
    standby.said("relay.standby").await?;
    let lane = Lane::inserting(server).await?;
    let consumer = topic.follow().await?;
    let row = 2 * number as u64;
    lane.insert(row + 1).await?;
    let (consumer, _) = next(consumer).await?;
    active.child.send(Signal::KILL)?;
    let killed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    lane.insert(row + 2).await?;
    let (_, arrived_ms) = next(consumer).await?;
    active.child.ended().await?;
    standby.terminate().await?;
    server.drop_slot(&slot).await?;
    broker.delete_topics(&[&topic.name, &route.progress_topic()]).await?;
    Ok(arrived_ms as f64 - killed.as_secs_f64() * 1e3)
}

/// When the next record arrived at the broker.
async fn next(consumer: BaseConsumer) -> anyhow::Result<(BaseConsumer, i64)> {
    spawn_blocking(move || {
        loop {
            match consumer.poll(SILENCE_MAX) {
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(message) => {
                    let at_ms = message?.timestamp().to_millis().context("a time of arrival")?;
                    return Ok((consumer, at_ms));
                }
                None => bail!("the row does not arrive"),
            }
        }
    })
    .await?
}

pub(crate) fn table(taken: &[TakeOver]) -> Table {
    let mut table = Table::new("Take-over after SIGKILL (min / median / max)", HEAD);
    for mode in [Mode::AtLeastOnce, Mode::ExactlyOnce] {
        let of_mode: Vec<f64> = taken.iter().filter(|it| it.mode == mode).map(|it| it.ms).collect();
        if !of_mode.is_empty() {
            table.row([mode.name().to_owned(), figures::cell(of_mode, 0)]);
        }
    }
    table
}

const HEAD: &[&str] = &["mode", "ms from the kill to the next record"];
const SILENCE_MAX: Duration = Duration::from_secs(60);
