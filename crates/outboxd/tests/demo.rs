//! The demo as a user runs it: a real Postgres, the in-process broker, the relay killed for real.
#![cfg(feature = "demo")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// As on a terminal-less machine, with an environment that is meant for another relay.
fn demo(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outboxd"));
    command
        .arg("demo")
        .args(arguments.split_whitespace())
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/elsewhere")
        .env("OUTBOXD_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("OUTBOXD_NO_SUCH__KEY", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("outboxd prints text")
}

fn run(arguments: &str) -> Output {
    let output = demo(arguments).output().expect("outboxd starts");
    assert!(output.status.success(), "{}\n{}", output.status, text(&output.stderr));
    output
}

#[test]
fn everything_holds_and_is_told_in_a_table() {
    let output = run("--orders 300");
    let stdout = text(&output.stdout);
    // Orders 1, 8, 15 … are declined: 43 with 3 events, 257 with 5.
    for line in [
        "relay killed with SIGKILL                           2",
        "events committed                                1,414  ok",
        "events published                                1,414",
        "lost                                                0  ok",
        // Two events of each declined payment, and one of each fifth order's coupon.
        "events rolled back                                146",
        "rolled back but published                           0  ok",
        "out of order                                        0  ok",
        "other than written                                  0  ok",
        "verdict: everything holds",
    ] {
        assert!(stdout.lines().any(|found| found == line), "{line:?} is not in\n{stdout}");
    }
    assert!(!stdout.contains('\x1b') && !stdout.contains("BROKEN"), "{stdout}");

    let story = text(&output.stderr);
    assert!(!story.contains(['\x1b', '\r']), "{story}");
    assert_eq!(story.matches("kill -9 ").count(), 2, "{story}");
    assert!(processes_of(&story).iter().all(|pid| is_gone(pid)), "{story}");
}

#[test]
fn the_verdict_can_be_read_by_scripts() {
    let output = run("--orders 60 --json");
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let count = |name: &str| verdict[name].as_u64().unwrap_or_else(|| panic!("{name}: {verdict}"));
    assert_eq!(count("committed"), 282);
    assert_eq!(count("published"), 282);
    for name in ["lost", "rolled_back_published", "unknown", "out_of_order", "altered"] {
        assert_eq!(count(name), 0, "{name}: {verdict}");
    }
    assert_eq!(count("rolled_back"), 30);
    assert_eq!(count("kills"), 2);
    assert!(count("duplicates") <= count("duplicates_max"), "{verdict}");
}

#[test]
fn an_interrupted_demo_leaves_nothing_running() {
    for (signal, status) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut demo = demo("--orders 1000000").spawn().expect("outboxd starts");
        let (relay, servers) = processes_once_streaming(&mut demo);
        assert!(!is_gone(&relay) && !servers.is_empty(), "{relay} {servers:?}");
        send(signal, &demo.id().to_string());
        assert_eq!(demo.wait().expect("it ends").code(), status);
        for pid in servers.iter().chain([&relay]) {
            eventually_gone(pid);
        }
    }
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let output = demo("--database-url postgres://me:hunter2@127.0.0.1:1/shop").output();
    let output = output.expect("outboxd starts");
    assert_eq!(output.status.code(), Some(1));
    let story = text(&output.stderr);
    assert!(
        story.contains("error[postgres_unreachable]: ") && story.contains("\nhint: "),
        "{story}"
    );
    assert!(!story.contains("hunter2") && output.stdout.is_empty(), "{story}");
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let output = demo("--kafka 127.0.0.1:1").output().expect("outboxd starts");
    assert_eq!(output.status.code(), Some(1));
    let story = text(&output.stderr);
    assert!(story.contains("error[kafka_unreachable]: ") && story.contains("\nhint: "), "{story}");
}

/// The relay, and the processes that the demo started besides. Its stderr is read on meanwhile.
fn processes_once_streaming(demo: &mut Child) -> (String, Vec<String>) {
    let mut story = BufReader::new(demo.stderr.take().expect("stderr is piped"));
    let mut told = String::new();
    let relay = loop {
        let read = story.read_line(&mut told).expect("a line");
        assert!(read > 0, "it ended:\n{told}");
        if let Some(pid) = processes_of(&told).pop() {
            break pid;
        }
    };
    thread::spawn(move || story.read_to_end(&mut Vec::new()));
    (relay, children(&demo.id().to_string()))
}

/// The relays that the story tells of.
fn processes_of(story: &str) -> Vec<String> {
    let pids = story.split("(process ").skip(1).filter_map(|rest| rest.split_once(')'));
    pids.map(|(pid, _)| pid.to_owned()).collect()
}

/// Processes of which `parent` is the parent.
fn children(parent: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    pids.filter(|pid| stat(pid).is_some_and(|(_, found)| found == parent)).collect()
}

fn is_gone(pid: &str) -> bool {
    stat(pid).is_none_or(|(state, _)| matches!(state.as_str(), "Z" | "X"))
}

/// The state of a process and its parent.
fn stat(pid: &str) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

/// Nobody can be told of the end of a stranger's child: asks until it is there.
fn eventually_gone(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_gone(pid) {
        assert!(Instant::now() < deadline, "process {pid} is left over");
        thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, pid: &str) {
    let sent = Command::new("kill").args(["-s", signal, pid]).status().expect("kill runs");
    assert!(sent.success());
}
