//! The demo: orders are taken by one service and paid by another, each with a database of its own,
//! while everything between them is killed, stopped, repeated and refused. In the end what was
//! ordered is compared with what was paid.
//!
//! Nothing is simulated that is to be shown: Postgres is a real server; relay and services are this
//! program started again as processes of their own, and they die by SIGKILL. Only the broker is
//! librdkafka's mock cluster unless a real one is asked for. Told to be naive, the services do
//! without outbox, relay and inbox, and the same faults show what that costs.
//!
//! Everything made on the way (servers, databases, slot, topics) is removed at the end, also when it
//! ends early.

mod broker;
mod courier;
mod database;
mod director;
mod event;
mod evidence;
mod names;
mod payments;
mod plan;
mod play;
mod process;
mod reader;
mod relay;
mod service;
mod stage;
mod story;
mod table;
mod verdict;

use std::pin::pin;

use outboxd_core::stop::Stop;

pub(crate) use self::broker::BrokerChoice;
pub(crate) use self::plan::{ORDERS_MAX, ORDERS_MIN};
pub(crate) use self::service::{Service, Style, serve};
use self::stage::Stage;
pub(crate) use self::story::Story;
pub(crate) use self::table::table;
pub(crate) use self::verdict::Verdict;
use crate::signals;

/// What the user chose.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) orders: u32,
    pub(crate) seed: u64,
    pub(crate) style: Style,
    /// `None`: a Postgres of our own.
    pub(crate) database_url: Option<String>,
    pub(crate) broker: BrokerChoice,
}

pub(crate) enum Ending {
    /// With what could not be removed.
    Judged(Box<Verdict>, Result<(), Stop>),
    /// A signal came; the exit status that belongs to it.
    Interrupted(u8),
}

/// Plays the whole scenario, and leaves nothing behind.
pub(crate) async fn run(options: &Options, story: &Story) -> anyhow::Result<Ending> {
    story.tell(&format!("seed {}", options.seed));
    let mut stage = Stage::new();
    let mut interrupted = pin!(signals::interrupted());
    let outcome = tokio::select! {
        biased;
        status = &mut interrupted => Err(status),
        outcome = play::play(&mut stage, options, story) => Ok(outcome),
    };
    if outcome.is_err() {
        story.tell("interrupted: stopping and removing everything");
    }
    let removed = stage.strike().await;
    match outcome {
        Err(status) => {
            removed?;
            Ok(Ending::Interrupted(status))
        }
        Ok(verdict) => Ok(Ending::Judged(Box::new(verdict?), removed)),
    }
}
