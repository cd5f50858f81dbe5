//! What goes wrong.

use super::process::Process;
use super::world::World;
use crate::parking::Policy;

impl World {
    pub(super) fn fault(&mut self) {
        let index = self.chance.index(2);
        match self.chance.below(25) {
            0..3 => self.cut(index),
            3..5 => self.lose_server_side(),
            5..8 => self.kill(index),
            8..10 => self.terminate(index),
            10..13 => self.freeze(index),
            13..16 => self.kill_producer(index),
            16 => self.crash_postgres(),
            17 => self.promote(),
            18 => self.env.server.checkpoint(),
            19 => self.env.cluster.is_away = !self.env.cluster.is_away,
            20 => self.env.letters.is_away = !self.env.letters.is_away,
            21 => self.change_limit(),
            22 => self.env.cluster.compact(),
            23 => self.silence(),
            _ => self.env.server.layout += 1,
        }
    }

    fn cut(&mut self, index: usize) {
        let relay = &mut self.relays[index];
        if relay.acts() && !relay.awaits.session {
            self.env.say(format_args!("{index} is cut"));
            relay.cut(&mut self.env);
        }
    }

    /// `pg_terminate_backend`, with the end of the stream still on its way to us.
    fn lose_server_side(&mut self) {
        self.env.say(format_args!("the walsender ends"));
        self.env.server.holder = None;
    }

    /// The other end of the session is there for the kernel only. What it has sent still arrives.
    fn silence(&mut self) {
        self.env.say(format_args!("the walsender falls silent"));
        if let Some(holder) = &mut self.env.server.holder {
            holder.is_silent = true;
        }
    }

    /// SIGKILL. What is on the wire may still be written.
    pub(super) fn kill(&mut self, index: usize) {
        self.env.say(format_args!("{index} is killed"));
        self.relays[index].excuse_unrecorded(&mut self.env);
        self.replace(index);
    }

    pub(super) fn replace(&mut self, index: usize) {
        self.relays[index].disconnect(&mut self.env);
        self.relays[index] = Process::start(index, &mut self.env);
    }

    /// SIGTERM with everything reachable: nothing is repeated by what comes after.
    fn terminate(&mut self, index: usize) {
        if !self.relays[index].acts() {
            return;
        }
        self.env.say(format_args!("{index} is terminated"));
        let relay = &mut self.relays[index];
        relay.shutdown(&mut self.env);
        let (kafka, letters) = (self.env.cluster.is_away, self.env.letters.is_away);
        (self.env.cluster.is_away, self.env.letters.is_away) = (false, false);
        for _ in 0..super::heal::HEALED_WITHIN {
            if self.relays[index].finished.is_some() {
                break;
            }
            self.serve_one(index);
            self.advance(10);
        }
        assert!(self.relays[index].finished.is_some(), "{index} does not end");
        (self.env.cluster.is_away, self.env.letters.is_away) = (kafka, letters);
        let relay = &self.relays[index];
        if !relay.relay.ledger.is_owned() || !relay.resolutions.is_empty() {
            // Behind a claim whose session was cut no position counts until the next one holds.
            relay.excuse_unrecorded(&mut self.env);
        }
        self.check();
        self.restart_finished();
    }

    fn freeze(&mut self, index: usize) {
        let relay = &mut self.relays[index];
        if !relay.acts() {
            return;
        }
        let for_ms = [2000, 8000, 20_000, 60_000][self.chance.index(4)];
        self.env.say(format_args!("{index} is frozen for {for_ms} ms"));
        relay.frozen_until_ms = Some(self.env.now_ms + for_ms);
        relay.is_stale = for_ms >= SELF_FENCE_MS;
        if self.chance.one_in(2) {
            self.advance(for_ms);
        }
    }

    fn kill_producer(&mut self, index: usize) {
        let relay = &mut self.relays[index];
        if relay.acts() && !relay.producer.is_dead {
            self.env.say(format_args!("the producer of {index} dies"));
            relay.kill_producer(&mut self.env);
        }
    }

    fn crash_postgres(&mut self) {
        self.env.say(format_args!("postgres crashes"));
        self.env.server.crash();
        self.env.letters.crash(self.env.server.sessions);
    }

    fn promote(&mut self) {
        self.env.say(format_args!("a standby is promoted"));
        self.env.server.promote();
        self.env.letters.crash(self.env.server.sessions);
    }

    /// The topics take larger records, or do not any more.
    fn change_limit(&mut self) {
        if self.env.settings.parking.policy != Policy::Skip {
            self.env.cluster.is_limited = !self.env.cluster.is_limited;
        }
    }

    /// A relay that stopped at a record is started again when the topic takes it.
    pub(super) fn restart_finished(&mut self) {
        for index in [0, 1] {
            if let Some(outcome) = &self.relays[index].finished {
                let halted = outcome.is_err();
                if halted {
                    self.env.cluster.is_limited = false;
                }
                if halted || self.relays[index].relay.window.lost() > 0 {
                    // What is durable behind a hole cannot be recorded.
                    self.relays[index].excuse_unrecorded(&mut self.env);
                }
                self.replace(index);
            }
        }
    }
}

/// Half of the server's timeout.
const SELF_FENCE_MS: u64 = 7500;
