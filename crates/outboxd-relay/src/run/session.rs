//! Frames of the session, and its failures.

use outboxd_core::stop::{Code, Stop};

use super::Runner;
use super::reports::hand_over;
use crate::error_chain;
use crate::failpoints::{self, Step};
use crate::link_failure::LinkFailure;
use crate::sink::Sink;
use crate::source::error::SourceError;
use crate::source::frame::BackendFrame;

/// What a frame means for the stream.
enum Heard {
    Frame,
    /// The answer to our CopyDone is complete, or the server ended the stream.
    Ready,
    Stop(Stop),
}

impl<S: Sink> Runner<S> {
    /// Hands the frames that have been read to the core, while it wants them.
    pub(super) fn feed(&mut self) {
        let now = self.stopwatch.now();
        while self.relay.wants_input() {
            let Some(session) = self.link.streaming() else { return };
            let mut failed = None;
            let heard = match session.next_frame() {
                Ok(None) => return,
                Ok(Some(BackendFrame::CopyData(frame))) => {
                    failpoints::pass(Step::Received);
                    let sink = &mut self.sink;
                    let mut emit = |record: outboxd_core::record::Record<'_>| {
                        hand_over(sink, &record, &mut failed);
                    };
                    self.relay.handle_frame(now, frame, &mut emit);
                    Ok(Heard::Frame)
                }
                Ok(Some(BackendFrame::Skimmed { head, length })) => {
                    self.relay.handle_skimmed(now, head, length);
                    Ok(Heard::Frame)
                }
                Ok(Some(other)) => hear(other),
                Err(error) => Err(error),
            };
            if failed.is_some() {
                self.take_not_taken(failed);
            }
            match heard {
                Ok(Heard::Frame) => {}
                Ok(Heard::Ready) => return self.stream_ended(),
                Ok(Heard::Stop(stop)) => return self.relay.handle_stop(now, stop),
                Err(error) => return self.session_failed(LinkFailure::Session(error)),
            }
        }
    }

    pub(super) fn session_failed(&mut self, failure: LinkFailure) {
        let now = self.stopwatch.now();
        self.drop_session();
        match failure {
            LinkFailure::Stop(stop) => self.relay.handle_stop(now, stop),
            LinkFailure::Session(error) => {
                let hint = error.to_stop().and_then(|stop| stop.hint);
                self.session_lost("source", &error_chain(&error), hint.as_deref());
            }
            LinkFailure::Control { error, hint } => {
                self.session_lost("control", &error, hint.as_deref());
            }
        }
    }

    fn session_lost(&mut self, error_kind: &str, error: &str, hint: Option<&str>) {
        self.snapshot.postgres_reconnects += 1;
        tracing::warn!(
            event = "session.lost",
            error_kind,
            error,
            hint,
            "no session to Postgres: trying again"
        );
        self.relay.handle_closed(self.stopwatch.now());
    }

    fn stream_ended(&mut self) {
        self.link.stream_ended();
        if self.relay.is_streaming() {
            // The server ended it: it shuts down.
            self.session_failed(LinkFailure::Session(SourceError::Closed));
        } else {
            self.relay.handle_stream_ended(self.stopwatch.now());
        }
    }
}

fn hear(frame: BackendFrame<'_>) -> Result<Heard, SourceError> {
    match frame {
        BackendFrame::ReadyForQuery => Ok(Heard::Ready),
        BackendFrame::Error(error) => Err(SourceError::Server(error)),
        BackendFrame::Notice(notice) if notice.message.contains(SKIPPED_PUBLICATION) => {
            let stop = Stop::new(Code::Publication, "the server skipped the publication")
                .detail(notice.message)
                .hint("the publication has to exist before the slot: create it, then a new slot");
            Ok(Heard::Stop(stop))
        }
        BackendFrame::Notice(notice) => {
            tracing::debug!(event = "server.notice", notice = notice.message, "notice");
            Ok(Heard::Frame)
        }
        _ => Ok(Heard::Frame),
    }
}

/// Postgres 18 goes on without a publication that did not exist when a row was written, and says
/// so only in a notice: rows would be skipped silently.
const SKIPPED_PUBLICATION: &str = "skipped loading publication";
