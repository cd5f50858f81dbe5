//! Whether the server is still there.
//!
//! A peer whose kernel answers for it never breaks a connection, and a server that has nothing to
//! stream says nothing while our reports come in time. So a server that was not heard for a while is
//! asked for a word by the next report, and one that is silent all the same is given up.

use std::time::Duration;

use super::{CloseReason, Relay};
#[cfg(test)]
use crate::planted::{Planted, is_planted};
use crate::time::Now;

impl Relay {
    /// Bytes have come from the server: of a frame that is not complete yet, perhaps.
    pub fn handle_received(&mut self, now: Now) {
        if !self.observe(now) {
            self.clock.heard = now.tick;
        }
    }

    /// Whether the next report asks for an answer.
    pub(super) fn wants_a_word(&self, now: Now) -> bool {
        now.tick.since(self.clock.heard) >= self.settings.wal_sender_timeout / 2
    }

    /// While we do not read, nothing can be heard, and that is no silence of the server.
    pub(super) fn drive_silence(&mut self, now: Now) {
        if !self.is_streaming() || !self.wants_input() {
            self.clock.heard = now.tick;
            return;
        }
        #[cfg(test)]
        if is_planted(Planted::TrustsSilence) {
            return;
        }
        let silent = now.tick.since(self.clock.heard);
        if silent >= silence_max(self.settings.wal_sender_timeout) {
            let for_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
            self.close(CloseReason::Silent { for_ms });
        }
    }
}

/// How long a server may take for an answer that costs it nothing. Longer than it has patience with
/// us: it looks for reports only between the changes of a transaction, and a session that is given up
/// too early begins all of its decoding again.
pub fn silence_max(wal_sender_timeout: Duration) -> Duration {
    wal_sender_timeout * 2
}
