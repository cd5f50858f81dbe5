//! Runs outboxd, and gives back what it says.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// What differs from run to run, and what stands in its place.
pub(crate) const FILTERS: [(&str, &str); 5] = [
    (r"\b(127\.0\.0\.1|localhost):[0-9]{2,5}\b", "$1:PORT"),
    (r"\b[0-9A-F]+/[0-9A-F]{2,}\b", "LSN"),
    (r" \(after [0-9]+ms in state CONNECT(, [0-9]+ identical error\(s\) suppressed)?\)", ""),
    (r"holds [0-9]+ [a-zA-Z]+ of WAL", "holds SIZE of WAL"),
    (r"/[^ ]*/(ca\.pem|outboxd\.toml)", "FOLDER/$1"),
];

/// A command line, such as `run --database-url …`. Nothing else reaches the program.
pub(crate) struct Outboxd {
    command: Command,
}

impl Outboxd {
    pub(crate) fn new(command: &str, database_url: &str, kafka: &str) -> Self {
        let mut outboxd = Command::new(env!("CARGO_BIN_EXE_outboxd"));
        outboxd
            .env_clear()
            .env("OUTBOXD_HTTP__LISTEN", "off")
            .args(command.split_whitespace())
            .args(["--database-url", database_url, "--kafka", kafka])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Self { command: outboxd }
    }

    /// Runs it to its end: the exit status, then what it reports.
    pub(crate) async fn stops(mut self) -> String {
        let output = timeout(LIMIT, self.command.args(["--log-level", "error"]).output());
        let output = output.await.expect("outboxd stops").expect("outboxd starts");
        let status = output.status.code().expect("outboxd exits");
        let said = String::from_utf8(output.stderr).expect("outboxd writes text");
        assert_no_secret(&said);
        assert!(said.lines().any(|line| line.starts_with("hint: ")), "nothing to do next:\n{said}");
        format!("exit: {status}\n{said}")
    }

    /// Runs it until it logs this event, which must not be the end of it: the line, a field a line.
    pub(crate) async fn waits_with(mut self, event: &str) -> String {
        let mut process = self
            .command
            .args(["--log-format", "json"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("outboxd starts");
        let stderr = process.stderr.take().expect("stderr is piped");
        let line = timeout(LIMIT, first_with(event, stderr)).await.expect("outboxd logs");
        assert!(process.try_wait().expect("a child process").is_none(), "it gave up: {line}");
        process.kill().await.expect("outboxd can be ended");
        assert_no_secret(&line);
        line
    }
}

async fn first_with(event: &str, stderr: tokio::process::ChildStderr) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut before = String::new();
    while let Some(line) = lines.next_line().await.expect("outboxd writes text") {
        let fields: Value = serde_json::from_str(&line).unwrap_or_default();
        if fields["event"] == event {
            return spread(&fields);
        }
        before.push_str(&line);
        before.push('\n');
    }
    panic!("outboxd ended without {event}:\n{before}");
}

fn spread(fields: &Value) -> String {
    let fields = fields.as_object().expect("a log line is an object");
    let shown = fields.iter().filter(|(name, _)| *name != "ts");
    shown
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}: {text}\n"),
            other => format!("{name}: {other}\n"),
        })
        .collect()
}

fn assert_no_secret(text: &str) {
    assert!(!text.contains(PASSWORD) && !text.contains(WRONG_PASSWORD), "a secret shows:\n{text}");
}

pub(crate) const PASSWORD: &str = "hunter2";
pub(crate) const WRONG_PASSWORD: &str = "swordfish";

/// Long enough for a machine busy with other tests.
const LIMIT: Duration = Duration::from_secs(120);
