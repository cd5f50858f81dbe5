//! The demo as a user runs it: a real Postgres, the embedded broker, processes killed for real.
#![cfg(feature = "demo")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use outboxd_sandbox::{Flavour, Kafka, KafkaOptions, PgOptions, Postgres};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;
use tokio_postgres::NoTls;

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
    let output = run("--orders 60 --seed 1");
    let stdout = text(&output.stdout);
    for line in [
        "relay killed with SIGKILL                           2",
        "payment service killed after a payment              1",
        "broker stopped for 10 s                             1",
        "orders rolled back                                 10",
        "orders committed                                   50  ok",
        "events published                                   50  ok",
        "payments made                                      50  ok",
        "rolled-back orders with an event                    0  ok",
        "lost                                                0  ok",
        "double payments                                     0  ok",
        "out of order                                        0  ok",
        "other than ordered                                  0  ok",
        "dead letters                                        1  ok",
        "dead letters retried and paid                       1  ok",
        "verdict: everything holds",
    ] {
        assert!(stdout.lines().any(|found| found == line), "{line:?} is not in\n{stdout}");
    }
    assert!(!stdout.contains('\x1b') && !stdout.contains("BROKEN"), "{stdout}");

    let story = text(&output.stderr);
    assert!(!story.contains(['\x1b', '\r']), "{story}");
    assert!(story.contains(" seed 1\n"), "{story}");
    assert_eq!(story.matches("kill -9 ").count(), 2, "{story}");
    assert!(processes_of(&story).iter().all(|pid| is_gone(pid)), "{story}");
}

/// On a real broker the gift is too large for its topic, until the limit is raised.
#[test]
fn a_thousand_orders_are_paid_once_on_a_real_broker() {
    let output = run("--orders 1200 --kafka-sandbox --json");
    let (verdict, story) = (json(&output), text(&output.stderr));
    let count = |name: &str| verdict[name].as_u64().unwrap_or_else(|| panic!("{name}: {verdict}"));
    assert_eq!(count("orders_committed"), 1000);
    for name in ["events_published", "payments_made"] {
        assert_eq!(count(name), 1000, "{name}: {verdict}");
    }
    for name in ["rolled_back_published", "lost", "double_payments", "out_of_order", "altered"] {
        assert_eq!(count(name), 0, "{name}: {verdict}");
    }
    assert_eq!((count("dead_letters"), count("dead_letters_paid")), (1, 1), "{verdict}");
    assert!(count("duplicates_skipped") > 0, "{verdict}");
    assert_eq!(verdict["chaos"]["broker_outages"], 1, "{verdict}");
    assert_eq!(verdict["chaos"]["payment_service_crashes"], 1, "{verdict}");
    assert!(story.contains("is parked in the dead letters: record_too_large, "), "{story}");
}

#[test]
fn without_an_outbox_orders_are_lost_invented_and_paid_twice() {
    let output = demo("--orders 60 --naive --json").output().expect("outboxd starts");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let verdict = json(&output);
    for name in ["lost", "rolled_back_published", "double_payments"] {
        assert!(verdict[name].as_u64().is_some_and(|count| count > 0), "{name}: {verdict}");
    }
    assert_eq!(verdict["style"], "naive");
    assert_eq!(verdict["chaos"]["order_service_kills"], 1, "{verdict}");
    assert_eq!(verdict["chaos"]["relay_kills"], 0, "{verdict}");
}

/// The one object that is printed.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn an_interrupted_demo_leaves_nothing_running() {
    for (signal, status) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut demo = demo("--orders 20000").spawn().expect("outboxd starts");
        let (relay, servers) = processes_once_streaming(&mut demo);
        assert!(!is_gone(&relay) && !servers.is_empty(), "{relay} {servers:?}");
        send(signal, &demo.id().to_string());
        assert_eq!(demo.wait().expect("it ends").code(), status);
        for pid in servers.iter().chain([&relay]) {
            eventually_gone(pid);
        }
    }
}

#[tokio::test]
async fn a_database_of_the_user_is_left_as_it_was() {
    let server = PgOptions::default();
    let server = Postgres::start_in(Flavour::Processes, server).await.expect("a server");
    let url = server.url("postgres");
    let line = format!("--orders 60 --database-url {url}");
    assert!(demo(&line).status().expect("outboxd starts").success());
    assert_eq!(left_in(&url).await, 0);

    let line = format!("--orders 20000 --database-url {url}");
    let mut demo = demo(&line).spawn().expect("outboxd starts");
    processes_once_streaming(&mut demo);
    assert!(left_in(&url).await > 2);
    send("INT", &demo.id().to_string());
    assert_eq!(demo.wait().expect("it ends").code(), Some(130));
    assert_eq!(left_in(&url).await, 0);
}

#[tokio::test]
async fn brokers_of_the_user_are_left_as_they_were() {
    let kafka = Kafka::start_in(Flavour::Processes, KafkaOptions::default()).await;
    let kafka = kafka.expect("a broker");
    let bootstrap = kafka.bootstrap();
    let output = run(&format!("--orders 60 --json --kafka {bootstrap}"));
    let (verdict, story) = (json(&output), text(&output.stderr));
    assert_eq!(verdict["payments_made"], 50, "{verdict}");
    assert_eq!(verdict["chaos"]["broker_outages"], 0, "{verdict}");
    assert!(story.contains("the broker is yours: it is not stopped"), "{story}");

    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &bootstrap).create().expect("a client");
    let limit = Duration::from_secs(30);
    let groups = client.fetch_group_list(None, limit).expect("the groups");
    assert!(groups.groups().iter().all(|group| !group.name().contains("demo")));
    let deadline = Instant::now() + limit;
    // A topic is still told of for a moment after it was deleted.
    while client
        .fetch_metadata(None, limit)
        .expect("the topics")
        .topics()
        .iter()
        .any(|topic| topic.name().contains("demo"))
    {
        assert!(Instant::now() < deadline, "a topic is left over");
        thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_role_that_may_not_make_databases_is_told_what_it_needs() {
    let server = PgOptions::default();
    let server = Postgres::start_in(Flavour::Processes, server).await.expect("a server");
    let url = server.url("postgres");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a session");
    let connection = tokio::spawn(connection);
    client.batch_execute("create role poor login").await.expect("a role");
    drop(client);
    connection.await.expect("no panic").expect("a session that ends in order");

    let line = format!("--database-url {}", url.replacen("postgres@", "poor@", 1));
    let output = demo(&line).output().expect("outboxd starts");
    let story = text(&output.stderr);
    assert!(!output.status.success() && story.contains("error[permission]: "), "{story}");
    assert!(story.contains("\nhint: the demo makes two databases of its own: "), "{story}");
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

#[test]
fn help() {
    let output = run("--help");
    insta::assert_snapshot!(text(&output.stdout));
}

/// How many slots and databases of demos there are.
async fn left_in(url: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a session");
    let connection = tokio::spawn(connection);
    let sql = "select (select count(*) from pg_replication_slots)
                    + (select count(*) from pg_database where datname ~ 'demo')";
    let count = client.query_one(sql, &[]).await.expect("a count").get(0);
    drop(client);
    connection.await.expect("no panic").expect("a session that ends in order");
    count
}

/// A process of the story, and those that the demo has started. Its stderr is read on meanwhile.
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
