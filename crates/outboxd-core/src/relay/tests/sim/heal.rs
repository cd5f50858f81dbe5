//! All faults cease: everything arrives within a bounded number of steps.

use super::cluster::Luck;
use super::coordinator::Fate;
use super::letters::State;
use super::world::World;

impl World {
    /// What is in flight arrives, the slot comes to the end of the WAL, and nothing is left to do.
    pub(super) fn heal(&mut self) {
        self.env.say(format_args!("healing"));
        for relay in &mut self.relays {
            if let Some(until) = relay.frozen_until_ms.take() {
                self.env.now_ms = self.env.now_ms.max(until);
            }
        }
        (self.env.cluster.is_away, self.env.letters.is_away) = (false, false);
        for _ in 0..HEALED_WITHIN {
            let ms = if self.is_healed() { 1000 } else { 50 };
            self.serve(ms);
            self.check();
            self.restart_finished();
            if self.is_healed() && self.is_at_the_end() {
                return;
            }
        }
        let stuck = self.relays.each_ref().map(|relay| &relay.relay);
        panic!("stuck at {:?}: {stuck:#?}", self.env.server.slot.map(|slot| slot.confirmed));
    }

    /// The position has followed what others wrote, too.
    fn is_at_the_end(&self) -> bool {
        let server = &self.env.server;
        server.slot.is_some_and(|slot| slot.confirmed == server.flush_lsn)
    }

    fn is_healed(&self) -> bool {
        let Some(slot) = self.env.server.slot else { return false };
        let last = self.env.server.log.last().map_or(slot.confirmed, |it| it.end_lsn);
        // What one that stands by could not record any more, the other has done.
        let is_done = |event| !self.env.letters.state(event).is_some_and(State::is_unresolved);
        slot.confirmed >= last
            && self.relays.iter().all(|relay| {
                relay.producer.is_empty()
                    && relay.resolutions.iter().all(|(event, _)| is_done(*event))
                    && relay.relay.turn.is_none()
            })
            && self.env.letters.wanted().is_none()
            && self.env.letters.pending.is_empty()
            && self.env.cluster.busy_lanes().is_empty()
    }

    pub(super) fn serve_for(&mut self, rounds: u32) {
        for _ in 0..rounds {
            self.serve(50);
        }
    }

    fn serve(&mut self, ms: u64) {
        for index in [0, 1] {
            self.serve_one(index);
        }
        self.advance(ms);
    }

    /// Everything that this relay waits for comes, and it reads all there is.
    pub(super) fn serve_one(&mut self, index: usize) {
        self.answer_one(index, true);
        self.send();
        while self.relays[index].acts() && self.relays[index].read(&mut self.env) {}
        while self.relays[index].acts() && !self.relays[index].asked.is_empty() {
            let info = self.topic_info();
            self.relays[index].topic_answer(&mut self.env, Ok(info));
        }
        for lane in self.relays[index].producer.lanes() {
            let relay = &mut self.relays[index];
            if relay.producer.is_dead {
                relay.give_up(&mut self.env, lane);
            } else {
                relay.producer.send(lane, &mut self.env.cluster, &mut self.chance);
            }
        }
        for lane in self.env.cluster.busy_lanes() {
            self.env.process(lane, Luck::Serve);
        }
        self.env.end_transaction(Fate::Committed);
        self.report_end();
        for lane in self.env.cluster.answered_lanes() {
            self.report_lane(lane);
        }
        while !self.env.letters.pending.is_empty() {
            self.env.commit_letter();
        }
        self.answer_letter();
        if self.relays[index].acts() && self.relays[index].relay.drain.is_none() {
            self.relays[index].operate(&mut self.env);
        }
    }

    /// The topics take everything, and the operator has everything published.
    pub(super) fn publish_parked(&mut self) {
        self.env.cluster.is_limited = false;
        for index in [0, 1] {
            self.kill(index);
        }
        for row in self.env.letters.rows.values_mut().filter(|row| row.state == State::Dead) {
            row.state = State::Retrying;
        }
        self.heal();
        let dead = self.env.letters.rows.values().filter(|row| row.state.is_unresolved());
        assert_eq!(dead.count(), 0, "parked for ever");
    }
}

pub(super) const HEALED_WITHIN: u32 = 3000;
