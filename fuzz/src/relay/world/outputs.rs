//! Carrying out what the relay wants, and holding it to what it promises.

use outboxd_core::record::Record;
use outboxd_core::relay::{Output, Relay, Replayed};
use outboxd_core::wire::StatusUpdate;

use super::{Incoming, Question, Sent, World};

impl World {
    /// What a shell does after each input.
    pub(super) fn settle(&mut self) {
        loop {
            self.drain();
            if self.relay.is_holding() {
                self.emit(|relay, now, emit| relay.retry_held(now, emit));
                if self.drain() {
                    continue;
                }
            }
            let wanted = self.relay.wants_input();
            let Some(frame) = wanted.then(|| self.frames.pop_front()).flatten() else { return };
            match frame {
                Incoming::Frame(bytes) => {
                    self.emit(|relay, now, emit| relay.handle_frame(now, &bytes, emit));
                }
                Incoming::Skimmed(head) => {
                    let length = head.len() + SKIMMED_BYTES;
                    self.relay.handle_skimmed(self.now(), &head, length);
                }
            }
        }
    }

    /// Whether there was anything.
    fn drain(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.relay.poll_output() {
            assert!(!self.finished, "nothing comes after the end: {output:?}");
            self.carry_out(output);
            any = true;
        }
        any
    }

    /// Gives one input that may make a record.
    fn emit(
        &mut self,
        input: impl FnOnce(&mut Relay, outboxd_core::time::Now, &mut dyn FnMut(Record<'_>)),
    ) {
        let now = self.now();
        let mut emitted = None;
        let partitions = 0..i32::try_from(self.partitions).expect("few partitions");
        input(&mut self.relay, now, &mut |record| {
            assert!(partitions.contains(&record.partition), "partition {}", record.partition);
            assert!(record.timestamp_ms >= 0);
            assert!(emitted.replace(Sent::of(&record)).is_none(), "one record at a time");
        });
        let Some(sent) = emitted else { return };
        for other in &self.in_flight {
            assert!(other.token != sent.token, "a token stands for one record");
            let same = sent.sequence.is_some() && other.sequence == sent.sequence;
            assert!(!same, "{:?} is in flight already", sent.sequence);
        }
        self.seen.emitted += 1;
        self.in_flight.push(sent);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Open => {
                assert!(!self.questions.contains(&Question::Session), "one session at a time");
                self.questions.push_back(Question::Session);
            }
            Output::ReadProgress => self.questions.push_back(Question::Reread),
            Output::CreateSlot => self.questions.push_back(Question::Slot),
            Output::LoadParked { from, .. } => {
                self.questions.push_back(Question::Parked { from });
            }
            Output::StartStream => {
                self.frames.clear();
                self.seen.streams += 1;
            }
            Output::EndStream => self.questions.push_back(Question::StreamEnd),
            Output::CloseSession(_) => self.forget_session(),
            Output::Park(parcel) => {
                self.seen.parked += 1;
                self.parcels.push_back(*parcel);
            }
            Output::Replayed { id, outcome } => self.replayed(id, &outcome),
            Output::Rotate => self.relay.handle_rotated(self.now(), Ok(())),
            Output::Status(status) => self.confirm(status),
            Output::AppendProgress { key, value } => {
                let former = self.progress_in_flight.replace((key, value));
                assert!(former.is_none(), "one progress record at a time");
                self.questions.push_back(Question::Progress);
            }
            Output::DescribeTopic(topic) => self.questions.push_back(Question::Topic(topic)),
            Output::ReplaceProducer => {
                assert!(self.in_flight.is_empty(), "every report was handled");
            }
            Output::Fence => {
                assert!(self.in_flight.is_empty(), "every report was handled");
                self.questions.push_back(Question::Fence);
            }
            Output::CommitTransaction => {
                assert!(self.in_flight.is_empty(), "every report was handled");
                self.questions.push_back(Question::Commit);
            }
            Output::AbandonProducer => self.abandon(),
            Output::Note(_) => {}
            Output::Finished(_) => self.finished = true,
        }
    }

    fn confirm(&mut self, status: StatusUpdate) {
        assert!(status.flush <= status.write, "more is safe than was received: {status:?}");
        for sequence in self.in_flight.iter().filter_map(|sent| sent.sequence) {
            let confirmed = sequence.at.commit_lsn < status.flush;
            assert!(!confirmed, "{sequence} is in flight, and {} is confirmed", status.flush);
        }
        for parcel in &self.parcels {
            let confirmed = parcel.sequence.at.commit_lsn < status.flush;
            assert!(!confirmed, "{} is not parked yet, and confirmed", parcel.sequence);
        }
        self.confirmed = self.confirmed.max(status.flush);
    }

    fn replayed(&mut self, id: i64, outcome: &Replayed) {
        let index = usize::try_from(id).expect("the number of a row");
        self.replaying = false;
        if *outcome == Replayed::Published {
            let (row, published) = &mut self.rows[index];
            *published = true;
            self.seen.replayed += 1;
            self.relay.handle_resolved(row.topic.as_deref(), row.key.as_deref());
        }
    }
}

/// What is thrown away of a row that is too large.
const SKIMMED_BYTES: usize = 100_000;
