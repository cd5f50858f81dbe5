//! A server that is there for the kernel and says nothing: while it streams, and at every step of an
//! opening.

use anyhow::{Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::proxy::{Side, Way};
use outboxd_tests::relay::{RelayCommand, RelayProcess, relay_on};

use crate::links::Far;

/// The control session sees nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replication_session_that_falls_silent_is_given_up() -> Result<()> {
    let far = Far::new().await?;
    let through =
        format!("postgres://postgres@{}/{}", far.proxy.address(), far.scene.database.name());
    let alone = relay_on(&far.scene.database, far.scene.cluster.bootstrap());
    let alone = alone.set("source.wal_sender_timeout", "2s");
    let relay = alone.set("source.replication_url", &through).start().await?;
    far.insert().await?;
    far.topic.read_at_least(1).await?;
    let mark = relay.mark();
    far.proxy.stall(Way::Up);
    far.proxy.stall(Way::Down);
    far.insert().await?;
    let given_up = relay.wait_event_after(mark, "session.closed").await?;
    ensure!(given_up.field("error").starts_with("the server was silent for"), "{given_up:?}");
    far.proxy.flow();
    relay.wait_event_after(mark, "slot.streaming").await?;
    far.expect_perfect(relay).await
}

/// It has nothing to say of itself, and answers when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_nothing_to_stream_is_not_given_up() -> Result<()> {
    let far = Far::new().await?;
    let relay = far.relay().set("source.wal_sender_timeout", "1s").start().await?;
    let mut reported = String::new();
    // One every third of a second; a silence of two seconds would be too long.
    for _ in 0..15 {
        let former = reported;
        reported = eventually("another report of the position", || async {
            let rows = far.scene.database.query(REPLY_TIME).await?;
            Ok(rows.first().map(|row| row.get(0)).filter(|now| *now != former))
        })
        .await?;
    }
    let lines = relay.lines();
    let given_up = lines.iter().find(|line| line.event().starts_with("session."));
    ensure!(given_up.is_none(), "{given_up:?}");
    far.insert().await?;
    far.expect_perfect(relay).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_while_a_session_is_opened_is_given_up() -> Result<()> {
    let far = Far::new().await?;
    let relay = impatient(&far).start().await?;
    silent_at(&far, &relay, |piece| has(piece, "pg_try_advisory_lock")).await?;
    silent_at(&far, &relay, |piece| has(piece, "IDENTIFY_SYSTEM")).await?;
    silent_at(&far, &relay, |piece| has(piece, "START_REPLICATION")).await?;
    far.insert().await?;
    far.expect_perfect(relay).await
}

/// The control session may take longer: its statements have 30 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_while_the_catalog_is_read_is_given_up() -> Result<()> {
    let far = Far::new().await?;
    let relay = impatient(&far).start().await?;
    silent_at(&far, &relay, |piece| has(piece, "pg_publication")).await?;
    far.insert().await?;
    far.expect_perfect(relay).await
}

fn impatient(far: &Far) -> RelayCommand {
    far.relay().set("source.wal_sender_timeout", "2s")
}

/// Cuts the session; the next one meets silence at that query, and the one behind it streams.
async fn silent_at(far: &Far, relay: &RelayProcess, step: fn(&[u8]) -> bool) -> Result<()> {
    far.proxy.catch(Side::Before, step);
    let mark = relay.mark();
    far.proxy.reset();
    eventually("silence noticed", || async {
        let lines = relay.lines().split_off(mark);
        Ok(lines.iter().any(|line| is_silence(&line.field("error"))).then_some(()))
    })
    .await?;
    ensure!(!far.proxy.is_armed(), "silence before that step");
    let mark = relay.mark();
    far.proxy.flow();
    relay.wait_event_after(mark, "slot.streaming").await?;
    Ok(())
}

fn is_silence(error: &str) -> bool {
    error.contains("did not answer within") || error.contains("the server was silent for")
}

fn has(piece: &[u8], words: &str) -> bool {
    piece.windows(words.len()).any(|window| window == words.as_bytes())
}

const REPLY_TIME: &str =
    "select reply_time::text from pg_stat_replication join pg_stat_activity using (pid)
      where datname = current_database() and reply_time is not null";
