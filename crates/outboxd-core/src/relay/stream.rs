//! Frames of the stream in, at most one record out for each.

use std::fmt;

use super::place::{Parts, Placed, Unplaced, place, place_unread};
use super::{CloseReason, Held, Note, Output, Relay, Session};
use crate::mapping::Written;
use crate::parking::Full;
use crate::pgoutput::{Cell, Commit, Insert, LogicalMessage, Message, Relation, RelationId};
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::record::Record;
use crate::stop::{Code, RecordError, Stop};
use crate::time::{Now, Tick};
#[cfg(test)]
use crate::window::Change;
use crate::window::WindowError;
use crate::wire::Frame;

/// Takes a record and hands it to the sink.
pub type Emit<'e> = &'e mut dyn FnMut(Record<'_>);

/// What happens when the server has answered CopyDone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum After {
    /// Keep the session, stream nothing until Kafka answers.
    Release,
    /// Stream again from the confirmed position, to hand out what was lost.
    Restart,
    /// The drain is complete.
    Finish,
}

impl Relay {
    /// The content of one CopyData message. At most one record is emitted, which has to be handed
    /// to the sink at once.
    pub fn handle_frame(&mut self, now: Now, frame: &[u8], emit: Emit<'_>) {
        if self.observe(now) {
            return;
        }
        if !self.is_streaming() {
            return self.drive_end(now);
        }
        self.clock.heard = now.tick;
        match Frame::decode(frame) {
            Ok(Frame::XLogData { end, body, .. }) => {
                self.received = self.received.max(end);
                self.handle_message(now, body, emit);
            }
            Ok(Frame::Keepalive { wal_end, reply_requested, .. }) => {
                self.handle_keepalive(now, wal_end, reply_requested);
            }
            Err(error) => self.violated(&error),
        }
        self.drive_when_due(now);
    }

    /// A CopyData message that was too large to be buffered: its first bytes and its whole length.
    pub fn handle_skimmed(&mut self, now: Now, head: &[u8], length: usize) {
        if self.observe(now) || !self.is_streaming() {
            return;
        }
        let body = match Frame::decode(head) {
            Ok(Frame::XLogData { body, .. }) => body,
            Ok(Frame::Keepalive { .. }) => return,
            Err(error) => return self.violated(&error),
        };
        match body.first() {
            Some(b'I') => match Insert::decode_prefix(body) {
                Ok((relation, cells)) => self.skim_insert(now, relation, &cells, length),
                Err(error) => self.violated(&error),
            },
            Some(b'M') => match LogicalMessage::decode_prefix(body) {
                Ok(message) => self.skim_message(now, &message, length),
                Err(error) => self.violated(&error),
            },
            Some(b'U' | b'D') => {}
            _ => self.violated(&"a control message of impossible size"),
        }
    }

    /// Tries again what had to wait. To be called after acks and answers, while
    /// [`Self::is_holding`].
    pub fn retry_held(&mut self, now: Now, emit: Emit<'_>) {
        if self.observe(now) {
            return;
        }
        if self.is_replay_due() {
            return self.replay(now, emit);
        }
        if self.is_streaming() && self.may_hand_out() && self.held.is_full {
            self.held.is_full = false;
            let body = std::mem::take(&mut self.held.body);
            self.handle_message(now, &body, emit);
            if self.held.body.is_empty() {
                self.held.body = body;
            }
        }
    }

    /// A record waits for a topic, a lane or its turn.
    pub fn is_holding(&self) -> bool {
        self.held.is_full || self.is_replay_due()
    }

    /// The server has ended the stream as we asked; the session can be used for another.
    pub fn handle_stream_ended(&mut self, now: Now) {
        self.observe(now);
        let Session::Ending { after, .. } = self.session else { return };
        match after {
            After::Release => {
                self.session = Session::Released { since: now.tick };
                self.note(Note::Released);
            }
            After::Restart => self.start_stream(now),
            After::Finish => self.finish(),
        }
        self.drive(now);
    }

    pub(super) fn start_stream(&mut self, now: Now) {
        self.restart_stream_state();
        self.session = Session::Streaming;
        self.received = self.confirmed;
        self.clock.awaiting_since = None;
        self.clock.heard = now.tick;
        self.output(Output::StartStream);
        self.send_status(now, true);
        self.note(Note::Streaming { end_lsn: self.window.end_lsn() });
    }

    pub(super) fn end_stream(&mut self, now: Now, after: After) {
        self.session = Session::Ending { since: now.tick, after };
        self.restart_stream_state();
        self.output(Output::EndStream);
    }

    fn handle_message(&mut self, now: Now, body: &[u8], emit: Emit<'_>) {
        match Message::decode(body) {
            Ok(Message::Insert(insert)) => {
                self.handle_written(now, body, Written::Row(insert), emit);
            }
            Ok(Message::Begin(begin)) => {
                if let Some(batch) = &mut self.batch {
                    batch.begun();
                }
                let begun = self.window.begin(begin);
                self.heed(now, begun);
            }
            Ok(Message::Commit(commit)) => self.handle_commit(now, commit),
            #[cfg(test)]
            Ok(Message::Relation(_))
                if is_planted(Planted::DropsRelations)
                    && self.window.change() == Ok(Change::Skip) => {}
            Ok(Message::Relation(relation)) => self.handle_relation(now, &relation),
            Ok(Message::Message(message)) => self.handle_logical(now, body, message, emit),
            Ok(
                Message::Origin(_)
                | Message::Type(_)
                | Message::Update(_)
                | Message::Delete(_)
                | Message::Truncate(_),
            ) => {}
            Err(error) => self.violated(&error),
        }
    }

    fn handle_commit(&mut self, now: Now, commit: Commit) {
        self.received = self.received.max(commit.end_lsn);
        self.stats.transactions += 1;
        let committed = self.window.commit(commit);
        self.heed(now, committed);
        self.seal_when_due(now);
        if self.window.is_idle() {
            self.drive(now);
        }
    }

    fn handle_relation(&mut self, now: Now, relation: &Relation<'_>) {
        if let Err(error) = self.mapper.announce(relation) {
            let stop = Stop::new(Code::TableContract, error.to_string())
                .detail("the table does not have what the relay maps to a record")
                .hint("map the column under [columns], or change the table back");
            self.handle_stop(now, stop);
        }
    }

    fn handle_logical(
        &mut self,
        now: Now,
        body: &[u8],
        message: LogicalMessage<'_>,
        emit: Emit<'_>,
    ) {
        match self.mapper.reads_messages(message.prefix) {
            true if message.transactional => {
                self.handle_written(now, body, Written::Message(message), emit);
            }
            is_ours => self.pass_message(message.transactional, is_ours),
        }
    }

    /// A message outside a transaction comes when it is read, between transactions, and is no change
    /// of any. So it is no event either, not even with our prefix: what it was written with may
    /// have been rolled back.
    fn pass_message(&mut self, transactional: bool, is_ours: bool) {
        if transactional {
            return self.pass();
        }
        if is_ours {
            if self.stats.stray_messages == 0 {
                self.note(Note::StrayMessage);
            }
            self.stats.stray_messages += 1;
        }
    }

    fn handle_written(&mut self, now: Now, body: &[u8], written: Written<'_>, emit: Emit<'_>) {
        match place(self.parts(), now, written) {
            Ok(Placed::Record(record)) => emit(record),
            Ok(Placed::Parcel(parcel)) => {
                #[cfg(test)]
                if is_planted(Planted::PassesParcel) && self.parking.parked(parcel.token) {
                    self.window.ack(parcel.token);
                }
                self.output(Output::Park(parcel));
            }
            Ok(Placed::Nothing) => {}
            Err(Unplaced::Ask(topic)) => {
                self.held.fill(body, None);
                self.output(Output::DescribeTopic(topic));
            }
            Err(Unplaced::Wait(until)) => self.held.fill(body, until),
            Err(unplaced) => self.not_placed(now, &unplaced),
        }
        self.seal_when_due(now);
        self.drive_topics();
    }

    fn skim_insert(&mut self, now: Now, relation: RelationId, cells: &[Cell<'_>], length: usize) {
        let error = match self.mapper.describe_prefix(relation, cells) {
            Ok(Some(error)) => error,
            Ok(None) => return self.pass(),
            Err(error) => return self.violated(&error),
        };
        self.place_skimmed(now, error, length);
    }

    fn skim_message(&mut self, now: Now, message: &LogicalMessage<'_>, length: usize) {
        match self.mapper.describe_message_prefix(message) {
            Some(error) if message.transactional => self.place_skimmed(now, error, length),
            ours => self.pass_message(message.transactional, ours.is_some()),
        }
    }

    fn place_skimmed(&mut self, now: Now, error: RecordError, length: usize) {
        let message = format!("{} ({length} bytes)", error.message);
        match place_unread(self.parts(), &RecordError { message, ..error }) {
            Ok(Placed::Parcel(parcel)) => self.output(Output::Park(parcel)),
            Ok(Placed::Record(_) | Placed::Nothing) => {}
            Err(unplaced) => self.not_placed(now, &unplaced),
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        let epoch = self.owner.as_ref().map_or(1, |owner| owner.epoch);
        let Self { mapper, window, topics, parking, trials, stats, batch, .. } = self;
        Parts { mapper, window, topics, parking, trials, stats, batch: batch.as_mut(), epoch }
    }

    /// The change is not dealt with, so it comes again at the next start.
    fn not_placed(&mut self, now: Now, unplaced: &Unplaced) {
        match unplaced {
            Unplaced::Refused(error) => self.handle_stop(now, halt(error)),
            Unplaced::Full(full) => self.handle_stop(now, too_many_parked(*full)),
            Unplaced::Violated(error) => self.violated(error),
            Unplaced::Ask(_) | Unplaced::Wait(_) => {}
        }
    }

    fn pass(&mut self) {
        if let Err(error) = self.window.change().and_then(|_| self.window.pass()) {
            self.violated(&error);
        }
    }

    fn heed(&mut self, now: Now, result: Result<(), WindowError>) {
        match result {
            Ok(()) => {}
            Err(WindowError::OutOfPlace(error)) => self.violated(&error),
            Err(WindowError::Divergence(divergence)) => {
                let stop =
                    Stop::new(Code::Diverged, "the server's history is not the recorded one")
                        .detail(divergence.to_string())
                        .hint("the database was restored or replaced; choose a new `source.name`");
                self.owner = None;
                self.handle_stop(now, stop);
            }
        }
    }

    fn violated(&mut self, error: &dyn fmt::Display) {
        self.close(CloseReason::Protocol(error.to_string()));
    }
}

impl Held {
    fn fill(&mut self, body: &[u8], until: Option<Tick>) {
        self.is_full = true;
        self.until = until;
        self.body.clear();
        self.body.shrink_to(HELD_BYTES_KEPT);
        self.body.extend_from_slice(body);
    }
}

fn halt(error: &RecordError) -> Stop {
    let unknown = || "unknown".to_owned();
    let id = error.event_id.clone().unwrap_or_else(unknown);
    let topic = error.topic.clone().unwrap_or_else(unknown);
    let key = error.key.as_ref();
    let key =
        key.map_or_else(|| "none".to_owned(), |key| String::from_utf8_lossy(key).into_owned());
    Stop::new(Code::Record(error.kind), format!("event {id} cannot be published"))
        .detail(format!("event id {id}, key {key}, topic {topic}: {}", error.message))
        .hint(
            "nothing behind it is published, and it comes again; correct the topic or its \
             limits and start again, or have it parked: errors.on_record_error = \"park\", with the table \
             that `outboxd setup` makes",
        )
}

fn too_many_parked(full: Full) -> Stop {
    Stop::new(Code::TooManyParked, "too many events are parked").detail(full.to_string()).hint(
        "look at them with `outboxd dlq list`, then retry or discard them; or raise the limit",
    )
}

/// What a held row may keep allocated once it is gone.
const HELD_BYTES_KEPT: usize = 64 * 1024;
