//! Time: timers of the relays that run, the end of a freeze, and the server's patience.

use super::process::Process;
use super::world::World;
use crate::time::Tick;

impl World {
    /// Time passes; every relay that is not frozen keeps its timers.
    pub(super) fn advance(&mut self, ms: u64) {
        let end = self.env.now_ms + ms;
        loop {
            self.time_out();
            let due = self.relays.iter().filter(|relay| relay.acts()).map(due_ms).min();
            if self.env.now_ms == end {
                return;
            }
            self.env.now_ms = due.unwrap_or(end).clamp(self.env.now_ms + 1, end);
        }
    }

    fn time_out(&mut self) {
        let Self { env, relays, .. } = self;
        for relay in relays.iter_mut() {
            if let Some(until) = relay.frozen_until_ms.filter(|until| *until <= env.now_ms) {
                env.say(format_args!("{} thaws at {until}", relay.index));
                relay.frozen_until_ms = None;
            }
            if relay.acts() && due_ms(relay) <= env.now_ms {
                relay.timeout(env);
                let is_due = relay.finished.is_none() && due_ms(relay) <= env.now_ms;
                assert!(!is_due, "what is due was done and is still due");
            }
        }
        self.end_silent_session();
    }

    /// The server gives up a session that says nothing, and a relay that runs is never silent.
    fn end_silent_session(&mut self) {
        let Self { env, relays, .. } = self;
        let Some(holder) = &mut env.server.holder else { return };
        let of = |relay: &&Process| {
            relay.connection.as_ref().is_some_and(|it| it.session == holder.session)
        };
        let relay = relays.iter().find(of);
        if relay.is_some_and(|relay| relay.acts() && !relay.relay.is_streaming()) {
            // Pings.
            holder.heard_ms = env.now_ms;
        }
        if !holder.is_silent && env.now_ms - holder.heard_ms >= WAL_SENDER_TIMEOUT_MS {
            assert!(relay.is_none_or(|relay| !relay.acts()), "a relay that runs was silent");
            env.server.holder = None;
            env.say(format_args!("the server ends a silent session"));
        }
    }
}

fn due_ms(relay: &Process) -> u64 {
    let due = relay.relay.poll_timeout().since(Tick::default());
    u64::try_from(due.as_micros().div_ceil(1000)).unwrap()
}

const WAL_SENDER_TIMEOUT_MS: u64 = 15_000;
