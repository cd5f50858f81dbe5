//! One load with its consumer: written at a pace, seen in a topic, stamped on both ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use super::load::{Lane, Pace, drive};
use super::proc;
use super::server::LOOK_INTERVAL;
use super::stamps::{Latency, Stamps};
use super::topic::Topic;
use super::verify::Payload;

pub(crate) struct Pass {
    pub(crate) pace: Pace,
    pub(crate) lanes: Vec<Lane>,
    /// Events of this pass carry numbers from here on.
    pub(crate) first_number: u64,
}

/// Processes whose CPU time is looked at.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) processes: Vec<u32>,
}

pub(crate) struct Outcome {
    /// Without the warm-up. `None`: nothing was seen.
    pub(crate) latency: Option<Latency>,
    /// Parts of one core that the watched processes took.
    pub(crate) cores: Vec<f64>,
    missing: u64,
    duplicates: u64,
}

pub(crate) async fn run(pass: Pass, topic: &Topic, watched: &Watched) -> anyhow::Result<Outcome> {
    let Pass { pace, lanes, first_number } = pass;
    let stamps = Arc::new(Stamps::new(first_number, pace.events()));
    let consumer = Consumer::start(topic, Arc::clone(&stamps)).await?;
    let begin = Instant::now() + LEAD;
    let mut tasks = JoinSet::new();
    let count = lanes.len();
    for (index, lane) in lanes.into_iter().enumerate() {
        let stamps = Arc::clone(&stamps);
        tasks.spawn(async move { drive(&lane, index, count, pace, begin, &stamps).await });
    }
    let cores = watched.cores(begin + pace.warm_up, pace.time).await?;
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let deadline = Instant::now() + LATE_MAX;
    while stamps.missing() > 0 && Instant::now() < deadline {
        sleep(LOOK_INTERVAL).await;
    }
    consumer.stop().await?;
    Ok(Outcome {
        latency: stamps.latency(pace.warm_up_events()),
        cores,
        missing: stamps.missing(),
        duplicates: stamps.duplicates(),
    })
}

impl Outcome {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { missing, duplicates, .. } = self;
        ensure!(missing + duplicates == 0, "{missing} events missing, {duplicates} duplicates");
        Ok(())
    }
}

impl Watched {
    async fn cores(&self, from: Instant, time: Duration) -> anyhow::Result<Vec<f64>> {
        let look = || {
            let cpu = self.processes.iter().map(|&pid| proc::cpu(pid));
            cpu.collect::<Option<Vec<_>>>().context("a process under load is gone")
        };
        sleep_until(from).await;
        let (begun, before) = (Instant::now(), look()?);
        sleep_until(from + time).await;
        let (after, elapsed) = (look()?, begun.elapsed().as_secs_f64());
        let used =
            after.into_iter().zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(used.map(|used| used.as_secs_f64() / elapsed).collect())
    }
}

/// Reads on a thread of its own, until it is stopped or dropped.
struct Consumer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Consumer {
    /// Returns when the consumer knows where to begin: nothing written later can pass it.
    async fn start(topic: &Topic, stamps: Arc<Stamps>) -> anyhow::Result<Self> {
        let consumer = topic.follow().await?;
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = spawn_blocking(move || consume(&consumer, &stopped, &stamps));
        Ok(Self { stop, thread })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.thread).await?
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn consume(consumer: &BaseConsumer, stop: &AtomicBool, stamps: &Stamps) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let message = match consumer.poll(POLL_TIME) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
            Some(message) => message?,
        };
        let payload = message.payload().map(serde_json::from_slice::<Payload<'_>>);
        let payload = payload.context("a record has no value")??;
        stamps.seen(payload.seq);
    }
    Ok(())
}

/// The first event is due when every lane has been started.
const LEAD: Duration = Duration::from_millis(300);
/// How long after the last acknowledgement an event may still come.
const LATE_MAX: Duration = Duration::from_secs(30);
/// How soon the consumer sees that it is stopped.
const POLL_TIME: Duration = Duration::from_millis(100);
