//! The server has no room for one more slot, or one more replication connection.

use std::time::Duration;

use outboxd_relay::source::params::ConnectParams;
use outboxd_relay::source::session::{ReplicationSession, SessionOptions};

use crate::assert_said;
use crate::program::Outboxd;
use crate::servers::{NOBODY, kafka, postgres, sql};

#[tokio::test]
async fn no_room_on_the_server() {
    let settings = [("max_replication_slots", "1"), ("max_wal_senders", "1")];
    let postgres = postgres(&settings).await;
    let url = postgres.url("postgres");
    let kafka = kafka("postgres");
    let brokers = kafka.bootstrap_servers();

    let params = ConnectParams::parse(&url).expect("a valid URL");
    let options =
        SessionOptions { wal_sender_timeout: Duration::from_secs(60), max_row_bytes: 1024 };
    let taken = ReplicationSession::connect(&params, options).await;
    let taken = taken.expect("there is one connection");
    assert_said("no_walsender_setup", Outboxd::new("setup", &url, NOBODY).stops().await);
    let waits = Outboxd::new("run", &url, &brokers).waits_with("session.lost").await;
    assert_said("no_walsender_run", waits);
    taken.close().await;

    let outbox = "create schema outbox; create table outbox.events (id uuid, aggregatetype text, \
                  aggregateid text, type text, payload jsonb); \
                  create publication outboxd for table outbox.events";
    sql(&postgres, "postgres", outbox).await;
    let other = "select pg_create_logical_replication_slot('other', 'pgoutput')";
    sql(&postgres, "postgres", other).await;
    assert_said("no_slot_setup", Outboxd::new("setup", &url, NOBODY).stops().await);
    let run = Outboxd::new("run --create-slot", &url, &brokers).stops().await;
    assert_said("no_slot_run", run);
}
