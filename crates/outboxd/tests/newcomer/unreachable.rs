//! A server does not answer: `setup` says so and ends, `run` says so and tries again.

use crate::assert_said;
use crate::program::{Outboxd, PASSWORD};
use crate::servers::{NOBODY, kafka, postgres};

fn nowhere() -> String {
    format!("postgres://relay:{PASSWORD}@{NOBODY}/shop")
}

#[tokio::test]
async fn no_postgres() {
    assert_said("no_postgres_setup", Outboxd::new("setup", &nowhere(), NOBODY).stops().await);
    let kafka = kafka("shop");
    let run = Outboxd::new("run", &nowhere(), &kafka.bootstrap_servers());
    assert_said("no_postgres_run", run.waits_with("session.lost").await);
}

#[tokio::test]
async fn no_kafka() {
    let postgres = postgres(&[]).await;
    let url = postgres.url("postgres");
    assert_said("no_kafka_setup", Outboxd::new("setup", &url, NOBODY).stops().await);
    let run = Outboxd::new("run", &url, NOBODY).waits_with("kafka.unreachable").await;
    assert_said("no_kafka_run", run);
}
