//! A real server on a port of its own, asked in plain HTTP/1.1.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::health::testing::{hanging, sample, streaming};
use crate::health::{Phase, Publisher, Role, Snapshot};

struct Served {
    publisher: Publisher,
    server: HttpServer,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Served {
    async fn start() -> Self {
        let (publisher, watcher) = Publisher::new();
        let server = HttpServer::start(any_port(), about(), watcher).await.unwrap().unwrap();
        Self { publisher, server }
    }

    async fn with(snapshot: Snapshot) -> Self {
        let mut served = Self::start().await;
        served.publish(snapshot);
        served
    }

    fn publish(&mut self, mut snapshot: Snapshot) {
        self.publisher.publish(&mut snapshot);
    }

    async fn get(&self, path: &str) -> Answer {
        ask(self.server.address(), "GET", path).await
    }
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The document with a name for what changes with each release.
fn shape(mut document: serde_json::Value) -> String {
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    document["version"] = "(version)".into();
    serde_json::to_string_pretty(&document).unwrap()
}

fn any_port() -> Listen {
    Listen::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

fn about() -> About {
    About {
        name: "<shop>".to_owned(),
        slot: "outboxd_shop".to_owned(),
        database: "shop".to_owned(),
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[tokio::test]
async fn ready_when_streaming_or_standing_by_and_at_no_other_time() {
    let mut served = Served::start().await;
    for (phase, name, status) in [
        (Phase::Starting, "starting", 503),
        (Phase::Connecting, "connecting", 503),
        (Phase::StandingBy, "standing_by", 200),
        (Phase::Opening, "opening", 503),
        (Phase::Streaming, "streaming", 200),
        (Phase::Released, "released", 503),
        (Phase::Draining, "draining", 503),
        (Phase::Stopped, "stopped", 503),
    ] {
        served.publish(Snapshot { phase, ..streaming() });
        let answer = served.get("/readyz").await;
        assert_eq!(answer.status, status, "{name}");
        let expected = serde_json::json!({
            "ok": status == 200, "reason": phase.describe(), "phase": name,
        });
        assert_eq!(answer.json(), expected);
    }
}

#[tokio::test]
async fn alive_while_the_loop_turns_whatever_it_waits_for() {
    let mut served = Served::start().await;
    assert_eq!(served.get("/livez").await.status, 200, "before the first turn");
    for phase in [Phase::Connecting, Phase::Released, Phase::Streaming] {
        served.publish(Snapshot { phase, ..streaming() });
        let answer = served.get("/livez").await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["ticked_seconds_ago"].as_f64().unwrap() >= 0.0);
    }
}

#[tokio::test]
async fn a_loop_that_hangs_is_neither_alive_nor_ready() {
    let served = Served::with(hanging()).await;
    let (live, ready) = (served.get("/livez").await, served.get("/readyz").await);
    assert_eq!((live.status, ready.status), (503, 503));
    assert_eq!(live.json()["reason"], "the loop has not turned for 30 seconds");
    assert_eq!(ready.json()["reason"], live.json()["reason"]);
}

#[tokio::test]
async fn status_has_a_stable_shape() {
    let served = Served::with(streaming()).await;
    let answer = served.get("/status").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    insta::assert_snapshot!(shape(answer.json()));
}

#[tokio::test]
async fn status_before_anything_is_known() {
    let served = Served::start().await;
    insta::assert_snapshot!(shape(served.get("/status").await.json()));
}

#[tokio::test]
async fn a_standby_has_no_lag_of_its_own() {
    let standby = Snapshot { phase: Phase::StandingBy, role: Role::Standby, ..streaming() };
    let document = Served::with(standby).await.get("/status").await.json();
    assert_eq!((&document["role"], &document["ready"]), (&"standby".into(), &true.into()));
    assert!(document["lag"]["confirmed_bytes"].is_null());
}

#[tokio::test]
async fn metrics_are_those_of_the_latest_snapshot_and_samples_count_once() {
    let mut served = Served::with(Snapshot { samples: vec![sample(1, 1)], ..streaming() }).await;
    served.publish(Snapshot { transactions: 13, samples: vec![sample(1, 1)], ..streaming() });
    served.publish(Snapshot { transactions: 14, ..streaming() });
    for _ in 0..2 {
        let answer = served.get("/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
        assert!(answer.body.contains("\noutboxd_transactions_total 14\n"));
        assert!(answer.body.contains("\noutboxd_kafka_ack_seconds_count 2\n"));
        assert!(answer.body.contains("\noutboxd_backpressure_seconds_total 1.25\n"));
    }
}

#[tokio::test]
async fn the_page_stands_alone_and_escapes_names() {
    let mut snapshot = streaming();
    snapshot.published[0].topic = "<script>".to_owned();
    let served = Served::with(snapshot).await;
    let Answer { status, head, body } = served.get("/").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-security-policy: default-src 'none';"), "{head}");
    assert!(body.contains("<h1>&lt;shop&gt;</h1>") && body.contains("&lt;script&gt;"));
    assert!(!body.contains("<script") && !body.contains("http://") && !body.contains("https://"));
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let served = Served::start().await;
    assert_eq!(served.get("/other").await.status, 404);
    assert_eq!(ask(served.server.address(), "POST", "/status").await.status, 405);
}

#[tokio::test]
async fn off_means_no_server() {
    let (_publisher, watcher) = Publisher::new();
    assert!(HttpServer::start(Listen::Off, about(), watcher).await.unwrap().is_none());
}

#[tokio::test]
async fn an_address_in_use_is_a_stop_with_a_hint() {
    let served = Served::start().await;
    let (_publisher, watcher) = Publisher::new();
    let address = served.server.address();
    let stop = HttpServer::start(Listen::Address(address), about(), watcher).await.unwrap_err();
    assert_eq!(stop.code, Code::Config);
    assert_eq!(stop.message, format!("cannot listen on {address}"));
    assert!(stop.detail.is_some_and(|detail| detail.contains("in use")));
    assert!(stop.hint.is_some_and(|hint| hint.contains("http.listen")));
}

#[tokio::test]
async fn its_end_frees_the_port_and_closes_idle_connections() {
    let served = Served::start().await;
    let address = served.server.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    idle.read_exact(&mut first).await.unwrap();
    served.server.end().await;
    idle.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
