//! What the demo says on stderr while it works: a line for each thing that has happened, and one
//! that changes for what is happening, which without a terminal becomes a line now and then.

use std::cell::Cell;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

pub(crate) struct Story {
    begun: Instant,
    terminal: bool,
    colour: bool,
    /// The last line is one that changes.
    open: Cell<bool>,
}

impl Story {
    pub(crate) fn begin() -> Self {
        let terminal = io::stderr().is_terminal();
        let colour = terminal && wants_colour();
        Self { begun: Instant::now(), terminal, colour, open: Cell::new(false) }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Something has happened.
    pub(crate) fn tell(&self, text: &str) {
        let start = self.take_open();
        self.write(&format!("{start}{} {text}\n", self.time()));
    }

    /// Says what is happening until it has.
    pub(crate) async fn during<T>(
        &self,
        text: impl Fn() -> String,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut ticks = interval(if self.terminal { FRAME } else { NOW_AND_THEN });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                _ = ticks.tick() => self.show(&text()),
            }
        }
    }

    fn show(&self, text: &str) {
        if !self.terminal {
            return self.tell(text);
        }
        let start = self.take_open();
        self.open.set(true);
        self.write(&format!("{start}{} {text}", self.time()));
    }

    /// What clears the line that changes, if there is one.
    fn take_open(&self) -> &'static str {
        if self.open.take() { "\r\x1b[2K" } else { "" }
    }

    fn time(&self) -> String {
        let time = format!("{:5.1} s ", self.elapsed().as_secs_f64());
        if self.colour { format!("\x1b[2m{time}\x1b[0m") } else { time }
    }

    fn write(&self, text: &str) {
        // Without stderr there is nobody to tell the story to, and no reason to stop.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Ends the line that changes, so that what comes next has one of its own.
impl Drop for Story {
    fn drop(&mut self) {
        let clear = self.take_open();
        self.write(clear);
    }
}

/// <https://no-color.org>
pub(super) fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

const FRAME: Duration = Duration::from_millis(100);
const NOW_AND_THEN: Duration = Duration::from_secs(2);
