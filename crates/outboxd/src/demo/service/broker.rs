//! The embedded broker: librdkafka's mock cluster, told what to do by lines on standard input.

use std::io::{self, BufRead, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr;

use crate::demo::broker::{DONE, Order, PARTITIONS};
use crate::demo::names::Names;
use crate::demo::plan::Kind;

/// Until standard input ends.
pub(super) fn serve(names: &Names) -> anyhow::Result<()> {
    let cluster = MockCluster::new(1)?;
    cluster.create_topic(&names.progress_topic(), 1, 1)?;
    for topic in names.event_topics() {
        cluster.create_topic(&topic, PARTITIONS, 1)?;
    }
    // It knows no limits of topics, so it says another thing that is for good.
    let gifts = names.topic(Kind::Gift);
    cluster.topic_error(&gifts, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)?;
    say(&cluster.bootstrap_servers())?;
    for line in io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?).context("an order cannot be read")?;
        match obey(&cluster, &gifts, order) {
            Ok(()) => say(DONE)?,
            Err(error) => say(&format!("{error:#}"))?,
        }
    }
    Ok(())
}

fn obey(
    cluster: &MockCluster<'_, DefaultProducerContext>,
    gifts: &str,
    order: Order,
) -> anyhow::Result<()> {
    match order {
        Order::Stop => cluster.broker_down(EVERY_BROKER)?,
        Order::Start => start_again(cluster)?,
        Order::AcceptGifts => {
            cluster.topic_error(gifts, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)?;
        }
    }
    Ok(())
}

/// It may fail without a word, as when its port is somebody else's for a moment: tried again.
fn start_again(cluster: &MockCluster<'_, DefaultProducerContext>) -> anyhow::Result<()> {
    let mut refused = None;
    for _ in 0..STARTS_MAX {
        cluster.broker_up(EVERY_BROKER)?;
        match TcpStream::connect(cluster.bootstrap_servers()) {
            Ok(_) => return Ok(()),
            Err(error) => refused = Some(error),
        }
        cluster.broker_down(EVERY_BROKER)?;
        thread::sleep(START_PAUSE);
    }
    let refused = refused.map_or_else(String::new, |error| error.to_string());
    bail!("it does not listen on its port again: {refused}")
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

const EVERY_BROKER: i32 = -1;
const STARTS_MAX: u32 = 20;
const START_PAUSE: Duration = Duration::from_millis(250);
