//! What no relay may repair by itself: each gap stops it, by its own name.

use super::world::World;
use crate::gate::TimelineSwitch;
use crate::lsn::Lsn;

impl World {
    /// Something of the outside is not what it was, and a relay starts.
    pub(super) fn open_gap(&mut self) {
        let code = match self.chance.below(7) {
            0 => self.drop_slot(),
            1 => self.move_slot(),
            2 => self.change_system(),
            3 => self.lose_progress(),
            4 => self.change_publication(),
            5 => self.restore(),
            _ => self.lose_transactions(),
        };
        for index in [0, 1] {
            self.kill(index);
        }
        for _ in 0..super::heal::HEALED_WITHIN {
            self.serve_one(0);
            if self.relays[0].finished.is_some() {
                break;
            }
            self.advance(50);
        }
        let outcome = self.relays[0].finished.take().expect("it stops");
        assert_eq!(outcome.expect_err("a gap").code.as_str(), code);
    }

    fn drop_slot(&mut self) -> &'static str {
        self.env.server.slot = None;
        "slot_missing"
    }

    fn move_slot(&mut self) -> &'static str {
        self.env.server.write_idle_wal();
        self.env.server.slot = None;
        self.env.server.create_slot();
        "slot_moved"
    }

    fn change_system(&mut self) -> &'static str {
        self.env.server.system_id += 1;
        "other_system"
    }

    fn lose_progress(&mut self) -> &'static str {
        self.env.cluster.progress.clear();
        if let Some(coordinator) = &mut self.env.cluster.coordinator {
            coordinator.forget_open();
        }
        "progress_lost"
    }

    fn change_publication(&mut self) -> &'static str {
        self.env.server.fingerprint = "f00d";
        "publication"
    }

    /// From a copy that is older than the progress.
    fn restore(&mut self) -> &'static str {
        self.env.server.flush_lsn = Lsn::new(0x800);
        "position_ahead"
    }

    /// A standby takes over that lacks the last transaction with an event.
    fn lose_transactions(&mut self) -> &'static str {
        let server = &mut self.env.server;
        let Some(last) = server.events.last() else { return self.drop_slot() };
        let lost = TimelineSwitch { timeline: server.timeline, switch_point: last.commit_lsn };
        server.history.push(lost);
        server.timeline += 1;
        "diverged"
    }
}
