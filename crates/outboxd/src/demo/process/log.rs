//! The log of a process, read as it is written: JSON lines, and in the end the report of a failure.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(in crate::demo) struct Log {
    heard: watch::Receiver<Heard>,
    // Dropping it ends the task.
    _task: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Heard {
    /// The bound logged when progress was claimed. Without one, nothing may repeat.
    repeats_max: u64,
    streaming: bool,
    ended: bool,
    /// The last lines that somebody would want to see if it failed.
    tail: VecDeque<String>,
}

impl Log {
    pub(super) fn follow(stderr: ChildStderr) -> Self {
        let (sender, heard) = watch::channel(Heard::default());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|heard| heard.take(line));
            }
            sender.send_modify(|heard| heard.ended = true);
        });
        Self { heard, _task: task }
    }

    /// Resolves when the relay streams, with the bound on repeats; with `None` when it has ended
    /// instead.
    pub(in crate::demo) async fn streaming(&mut self) -> Option<u64> {
        let heard = self.heard.wait_for(|heard| heard.streaming || heard.ended).await.ok()?;
        heard.streaming.then_some(heard.repeats_max)
    }

    /// Resolves when the process has ended.
    pub(super) async fn end(&mut self) {
        // The sender goes away after that too.
        let _ = self.heard.wait_for(|heard| heard.ended).await;
    }

    pub(in crate::demo) fn tail(&self) -> String {
        let heard = self.heard.borrow();
        heard.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Heard {
    fn take(&mut self, line: String) {
        let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
        match parsed["event"].as_str() {
            Some("progress.claimed") => {
                self.repeats_max += parsed["repeats_max"].as_u64().unwrap_or_default();
            }
            Some("slot.streaming") => self.streaming = true,
            _ => {}
        }
        if parsed["level"] == "info" {
            return;
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

const TAIL_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_and_the_stream_are_heard() {
        let mut heard = Heard::default();
        heard.take(r#"{"level":"info","event":"progress.claimed","repeats_max":500}"#.to_owned());
        assert!(!heard.streaming);
        heard.take(r#"{"level":"info","event":"slot.streaming"}"#.to_owned());
        assert!(heard.streaming && heard.tail.is_empty());
        assert_eq!(heard.repeats_max, 500);
    }

    #[test]
    fn the_end_of_what_went_wrong_is_kept() {
        let mut heard = Heard::default();
        for number in 0..TAIL_LINES {
            heard.take(format!(r#"{{"level":"warn","number":{number}}}"#));
        }
        heard.take("error[login]: no".to_owned());
        assert_eq!(heard.tail.len(), TAIL_LINES);
        assert_eq!(heard.tail[0], r#"{"level":"warn","number":1}"#);
        assert_eq!(heard.tail[TAIL_LINES - 1], "error[login]: no");
    }
}
