//! A relay put together from its configuration and run.

use std::future::Future;

use outboxd_core::progress::Progress;
use outboxd_core::relay::{Goal, Relay};
use outboxd_core::stop::{Code, Stop};

use crate::config::{Config, Listen};
use crate::health::Publisher;
use crate::http::{About, HttpServer};
use crate::open::Opener;
use crate::run::Runner;
use crate::sink::kafka::KafkaSink;
use crate::sink::{self, Extent, Sink, stop};
use crate::wiring::{self, Wishes};

/// Runs until `shutdown` resolves, the goal is reached, or something ends it for good.
pub async fn run(
    config: &Config,
    wishes: Wishes,
    goal: Goal,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Stop> {
    let kafka = wiring::kafka(config)?;
    if goal == Goal::SetUp || config.source.create_slot || wishes.adopt_slot {
        prepare_progress(config, &kafka).await?;
    }
    let topic = config.delivery.progress.topic.clone();
    let in_flight_max = config.delivery.max_in_flight_events.get() as usize;
    let sink = KafkaSink::start(kafka, topic, in_flight_max, wiring::creation(config))
        .map_err(|error| stop::refused(&error))?;
    run_with(config, wishes, goal, sink, shutdown).await
}

/// [`run`] with a sink of the caller's.
pub async fn run_with<S: Sink>(
    config: &Config,
    wishes: Wishes,
    goal: Goal,
    sink: S,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Stop> {
    let relay = Relay::new(wiring::settings(config, wishes, goal), wiring::mapper(config)?);
    let opener = opener(config, wishes)?;
    let (publisher, watcher) = Publisher::new();
    // A set-up is over soon, and may be done beside a relay that runs.
    let listen = if goal == Goal::SetUp { Listen::Off } else { config.http.listen };
    let http = HttpServer::start(listen, about(config), watcher).await?;
    let outcome = Runner::new(relay, sink, opener, publisher).run(shutdown).await;
    if let Some(http) = http {
        http.end().await;
    }
    outcome
}

/// What sessions of this configuration are opened with.
pub(crate) fn opener(config: &Config, wishes: Wishes) -> Result<Opener, Stop> {
    Ok(Opener {
        source: config.source.clone(),
        tables: wiring::tables(config)?,
        columns: wiring::columns(config),
        stand_by: !wishes.no_wait,
        fail_fast: wishes.fail_fast,
        backoff: (config.errors.backoff.first, config.errors.backoff.longest),
    })
}

fn about(config: &Config) -> About {
    let source = &config.source;
    About {
        name: source.name.clone(),
        slot: source.slot.clone(),
        database: source.database.clone(),
    }
}

/// What the progress topic says, for those who only look.
pub async fn recorded(config: &Config) -> Result<Option<Progress>, Stop> {
    let kafka = wiring::kafka(config)?;
    sink::reach(&kafka).await.map_err(|error| stop::refused(&error))?;
    let topic = config.delivery.progress.topic.clone();
    let sink = KafkaSink::start(kafka, topic, 1, None).map_err(|error| stop::refused(&error))?;
    let read = sink.read_progress(Extent::Readable).await.map_err(|error| stop::refused(&error))?;
    Ok(read.recorded().map_err(|error| stop::unreadable(&error))?.progress)
}

/// The progress topic, created where that is allowed: by `setup` and on a first run.
pub(crate) async fn prepare_progress(
    config: &Config,
    kafka: &sink::settings::KafkaSettings,
) -> Result<(), Stop> {
    let progress = &config.delivery.progress;
    let replication = progress.replication_factor.map(std::num::NonZeroU16::get);
    let ensured = sink::ensure_progress_topic(kafka, &progress.topic, replication).await;
    ensured.map(drop).map_err(|error| match error {
        sink::ProgressTopicError::Sink(error) => stop::refused(&error),
        error => {
            Stop::new(Code::Config, format!("progress topic {:?} cannot be used", progress.topic))
                .detail(crate::error_chain(&error))
                .hint("it needs one partition and cleanup.policy=compact; see delivery.progress")
        }
    })
}
