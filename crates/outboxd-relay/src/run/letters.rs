//! Between the core and the dead-letter table.

use outboxd_core::headers::Sequence;
use outboxd_core::parking::{Parcel, Reason};
use outboxd_core::relay::Replayed;

use super::Runner;
use crate::dead_letters::{DeadLetters, News, Opening};
use crate::failpoints::{self, Step};
use crate::link_failure::LinkFailure;
use crate::sink::Sink;
use crate::wiring::connect_params;

/// The table, while there is a session, and what waits to be recorded in it.
#[derive(Default)]
pub(super) struct Letters {
    table: Option<DeadLetters>,
    unrecorded: Vec<(i64, Replayed)>,
}

impl Letters {
    pub(super) async fn news(&mut self) -> News {
        match &mut self.table {
            Some(table) => table.news().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn forget_session(&mut self) {
        self.table = None;
    }

    /// What became of a replay. Kept until it is recorded, so that a lost session does not publish
    /// it twice.
    pub(super) fn replayed(&mut self, id: i64, outcome: Replayed) {
        if let Some(table) = &self.table {
            table.record(id, outcome.clone());
        }
        if outcome != Replayed::Later {
            self.unrecorded.push((id, outcome));
        }
    }

    /// The row was offered before what became of it was recorded.
    fn is_known(&self, id: i64) -> bool {
        self.unrecorded.iter().any(|(known, _)| *known == id)
    }
}

impl<S: Sink> Runner<S> {
    pub(super) fn load_parked(&mut self, acquisition: u64, from: Sequence, released: &[i64]) {
        for id in released {
            if !self.letters.is_known(*id) {
                self.letters.unrecorded.push((*id, Replayed::Published));
            }
        }
        let source = &self.opener.source;
        let params = match connect_params(source, &source.url) {
            Ok(params) => params,
            Err(stop) => return self.relay.handle_stop(self.stopwatch.now(), stop),
        };
        self.letters.table = Some(DeadLetters::open(Opening {
            params,
            name: source.name.clone(),
            acquisition,
            from,
            unrecorded: self.letters.unrecorded.clone(),
        }));
    }

    pub(super) fn park(&mut self, parcel: Box<Parcel>) {
        self.snapshot.parked(&parcel);
        log(&parcel);
        if let Some(table) = &self.letters.table {
            table.park(parcel);
        }
    }

    pub(super) fn take_news(&mut self, news: News) {
        let now = self.stopwatch.now();
        match news {
            News::Loaded(rows) => self.relay.handle_loaded(now, rows),
            News::Parked(tokens) => {
                for token in tokens {
                    failpoints::pass(Step::Parked);
                    self.relay.handle_parked(now, token);
                }
            }
            News::Replay(replay) if self.letters.is_known(replay.id) => {
                self.letters.replayed(replay.id, Replayed::Later);
            }
            News::Replay(replay) => self.relay.handle_replay(now, *replay),
            News::Resolved(rows) => {
                for (topic, key) in rows {
                    self.relay.handle_resolved(topic.as_deref(), key.as_deref());
                }
            }
            News::Recorded(id) => {
                self.letters.unrecorded.retain(|(other, _)| *other != id);
                self.relay.handle_replay_recorded(id);
            }
            News::Failed(error) => {
                self.session_failed(LinkFailure::Control { error, hint: None });
            }
            News::Stop(stop) => self.relay.handle_stop(now, stop),
        }
    }
}

/// Never the key or the value: they may be secrets.
fn log(parcel: &Parcel) {
    let position = parcel.sequence.to_string();
    let (event_id, topic) = (parcel.event_id.as_deref(), parcel.topic.as_deref());
    match &parcel.reason {
        Reason::Refused(error) => tracing::warn!(
            event = "publish.parked",
            event_id,
            topic,
            position,
            error_kind = error.kind.as_str(),
            error = error.message,
            "an event cannot be published; it is parked, and what follows of its key waits"
        ),
        Reason::Skipped(error) => tracing::warn!(
            event = "publish.skipped",
            event_id,
            topic,
            position,
            error_kind = error.kind.as_str(),
            error = error.message,
            "an event cannot be published; it is skipped, as configured"
        ),
        Reason::Behind => tracing::debug!(
            event = "publish.parked",
            event_id,
            topic,
            position,
            "parked behind an earlier event of its key"
        ),
    }
}
