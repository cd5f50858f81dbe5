//! The demo: a shop takes orders and payments, its events are relayed to Kafka, the relay is killed
//! on the way, and in the end what was committed is compared with what can be read.
//!
//! Nothing is simulated that is to be shown: Postgres is a real server, the relay is this program
//! started a second time as a process of its own, and it dies by SIGKILL. Only the broker is
//! librdkafka's in-process one unless a real one is asked for.
//!
//! Everything made on the way (servers, schema, publication, slot, topics) is removed at the end,
//! also when it ends early.

mod broker;
mod database;
mod event;
mod names;
mod play;
mod reader;
mod relay;
mod shop;
mod stage;
mod story;
mod table;
mod verdict;

use std::pin::pin;

use outboxd_core::stop::Stop;

pub(crate) use self::broker::BrokerChoice;
use self::stage::Stage;
pub(crate) use self::story::Story;
pub(crate) use self::table::table;
pub(crate) use self::verdict::Verdict;
use crate::signals;

/// What the user chose.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) orders: u32,
    /// `None`: a Postgres of our own.
    pub(crate) database_url: Option<String>,
    pub(crate) broker: BrokerChoice,
}

pub(crate) enum Ending {
    /// With what could not be removed.
    Judged(Verdict, Result<(), Stop>),
    /// A signal came; the exit status that belongs to it.
    Interrupted(u8),
}

/// Plays the whole scenario, and leaves nothing behind.
pub(crate) async fn run(options: &Options, story: &Story) -> anyhow::Result<Ending> {
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
        Ok(verdict) => Ok(Ending::Judged(verdict?, removed)),
    }
}
