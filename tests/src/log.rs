//! What a relay says on stderr: JSON log lines, and at the end the report of a failure.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;
use tokio::sync::watch;

/// One line, as it came.
#[derive(Clone, Debug)]
pub struct Line {
    pub text: String,
    /// `None`: not a log line.
    json: Option<Value>,
}

/// The lines so far, read by a thread of its own, so that the writer never waits for a test.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    /// How many there are, and whether the other side is gone.
    news: watch::Receiver<(usize, bool)>,
}

impl Line {
    pub(crate) fn parse(text: String) -> Self {
        let json = serde_json::from_str(&text).ok().filter(Value::is_object);
        Self { text, json }
    }

    /// The stable code of a log line, or that of a report (`error[code]: message`).
    pub fn event(&self) -> &str {
        match &self.json {
            Some(json) => json.get("event").and_then(Value::as_str).unwrap_or(""),
            None => reported(&self.text).unwrap_or(""),
        }
    }

    /// A field as text; empty when there is none.
    pub fn field(&self, name: &str) -> String {
        match self.json.as_ref().and_then(|json| json.get(name)) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// A field as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.json.as_ref()?.get(name)?.as_u64()
    }

    /// A log line of level error, or a report of one.
    pub fn is_error(&self) -> bool {
        self.field("level").eq_ignore_ascii_case("error") || reported(&self.text).is_some()
    }
}

impl Log {
    pub fn read(stream: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, news) = watch::channel((0, false));
        let sink = Arc::clone(&lines);
        thread::spawn(move || {
            for text in BufReader::new(stream).lines() {
                let Ok(text) = text else { break };
                let mut lines = lock(&sink);
                lines.push(Line::parse(text));
                sender.send_replace((lines.len(), false));
            }
            sender.send_modify(|(_, over)| *over = true);
        });
        Self { lines, news }
    }

    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).clone()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.lines).len()
    }

    /// The first line from `from` on that is as wanted; `None` when the log ends without.
    pub async fn find(&self, from: usize, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        let mut news = self.news.clone();
        let mut seen = from;
        loop {
            let (_, over) = *news.borrow_and_update();
            {
                let lines = lock(&self.lines);
                let fresh = lines.get(seen..).unwrap_or(&[]);
                if let Some(line) = fresh.iter().find(|line| wanted(line)) {
                    return Some(line.clone());
                }
                seen = lines.len().max(seen);
            }
            if over || news.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Errors that were not announced.
    pub(crate) fn unexpected_errors(&self, announced: &BTreeSet<String>) -> Vec<String> {
        let unexpected = |line: &&Line| line.is_error() && !announced.contains(line.event());
        lock(&self.lines).iter().filter(unexpected).map(|line| line.text.clone()).collect()
    }
}

fn lock(lines: &Mutex<Vec<Line>>) -> MutexGuard<'_, Vec<Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The code in `error[code]: message`.
fn reported(text: &str) -> Option<&str> {
    text.strip_prefix("error[")?.split_once("]: ").map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMING: &str =
        r#"{"ts":"t","level":"info","event":"slot.streaming","lsn":"0/1","repeats_max":3}"#;
    const FAILED: &str = r#"{"ts":"t","level":"error","event":"producer.failed"}"#;
    const REPORT: &str = "error[slot_missing]: no slot";

    #[test]
    fn lines_are_told_apart() {
        let line = Line::parse(STREAMING.to_owned());
        assert_eq!((line.event(), line.field("lsn").as_str()), ("slot.streaming", "0/1"));
        assert_eq!(line.number("repeats_max"), Some(3));
        assert!(!line.is_error());
        assert!(Line::parse(FAILED.to_owned()).is_error());
        let report = Line::parse(REPORT.to_owned());
        assert!(report.is_error() && report.event() == "slot_missing");
        assert!(!Line::parse("detail: more".to_owned()).is_error());
    }

    #[tokio::test]
    async fn the_end_of_the_log_ends_a_wait() {
        let log = Log::read(std::io::Cursor::new(format!("{STREAMING}\n{FAILED}\n{REPORT}")));
        assert!(log.find(0, |line| line.event() == "producer.failed").await.is_some());
        assert!(log.find(2, |line| line.event() == "producer.failed").await.is_none());
        assert_eq!(log.len(), 3);
        let announced = BTreeSet::from(["slot_missing".to_owned()]);
        assert_eq!(log.unexpected_errors(&announced), [FAILED]);
    }
}
