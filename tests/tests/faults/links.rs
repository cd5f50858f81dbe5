//! The way to Postgres is slow, thin, cut, garbled, or there and silent.

use std::time::Duration;

use anyhow::{Result, ensure};
use outboxd_tests::patience::eventually;
use outboxd_tests::proxy::{Proxy, Way};
use outboxd_tests::relay::{RelayCommand, RelayProcess, relay_through};
use outboxd_tests::rounds::Rounds;
use outboxd_tests::scene::Scene;
use outboxd_tests::topic::Topic;
use outboxd_tests::workload::Workload;

use crate::mode::Mode;
use crate::stage::grown;

/// A scene whose relay reaches Postgres through a proxy.
pub(crate) struct Far {
    pub(crate) scene: Scene,
    pub(crate) topic: Topic,
    pub(crate) proxy: Proxy,
}

impl Far {
    pub(crate) async fn new() -> Result<Self> {
        let scene = Scene::new().await?;
        let topic = scene.topic(4).await?;
        let proxy = Proxy::to(scene.database.address()?).await?;
        Ok(Self { scene, topic, proxy })
    }

    pub(crate) fn relay(&self) -> RelayCommand {
        relay_through(&self.proxy, &self.scene.database, self.scene.cluster.bootstrap())
            .set("errors.backoff", "50ms..200ms")
    }

    fn load(&self) -> Workload {
        Workload::endless(self.scene.kind())
    }

    pub(crate) async fn insert(&self) -> Result<()> {
        let insert = "insert into outbox.events (aggregatetype, aggregateid, type, payload)";
        let values = format!("values ('{}', gen_random_uuid(), 'T', '{{}}')", self.scene.kind());
        self.scene.database.execute(&format!("{insert} {values}")).await
    }

    pub(crate) async fn expect_perfect(&self, relay: RelayProcess) -> Result<()> {
        let Self { scene, topic, .. } = self;
        let mode = Mode::AtLeastOnce;
        mode.conclude(&scene.database, topic, scene.kind(), relay).await?.expect_perfect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_thin_way_to_postgres_is_slower_and_not_broken() -> Result<()> {
    let far = Far::new().await?;
    let relay = far.relay().start().await?;
    let mark = relay.mark();
    for way in [Way::Up, Way::Down] {
        far.proxy.delay(way, Duration::from_millis(200));
        far.proxy.limit(way, MEGABIT);
    }
    let load = Workload { transactions: Some(60), ..far.load() };
    load.run(&far.scene.database).await?;
    let position = far.scene.database.wal_position().await?;
    far.scene.database.wait_confirmed(position).await?;
    let lost = relay.lines().split_off(mark).iter().any(|line| line.event() == "session.lost");
    ensure!(!lost, "the session did not hold");
    far.expect_perfect(relay).await
}

/// A peer that is there for the kernel, and says nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_way_to_postgres_is_given_up() -> Result<()> {
    let far = Far::new().await?;
    let relay = far.relay().set("source.wal_sender_timeout", "4s").start().await?;
    far.insert().await?;
    far.topic.read_at_least(1).await?;
    let mark = relay.mark();
    far.proxy.stall(Way::Up);
    far.proxy.stall(Way::Down);
    far.insert().await?;
    eventually("the session given up", || async {
        let lines = relay.lines().split_off(mark);
        let given_up = |event: &str| ["session.lost", "session.closed"].contains(&event);
        Ok(lines.iter().any(|line| given_up(line.event())).then_some(()))
    })
    .await?;
    far.proxy.flow();
    relay.wait_event_after(mark, "slot.streaming").await?;
    far.insert().await?;
    far.expect_perfect(relay).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_anywhere_repeat_nothing() -> Result<()> {
    let mut rounds = Rounds::of(10);
    let mut random = rounds.random();
    let far = Far::new().await?;
    let relay = far.relay().start().await?;
    let writers = far.load().start(&far.scene.database).await?;
    for round in rounds.by_ref() {
        grown(&far.topic, 50).await?;
        let mark = relay.mark();
        match round % 4 {
            0 => far.proxy.reset(),
            1 => far.proxy.half_close(Way::Down),
            _ => far.proxy.cut_after(Way::Down, random.below(30_000)),
        }
        relay.wait_event_after(mark, "session.lost").await?;
        relay.wait_event_after(mark, "slot.streaming").await?;
    }
    writers.stop().await?;
    far.expect_perfect(relay).await?;
    rounds.passed("connection to Postgres cut");
    Ok(())
}

/// Where the bits that say what follows are wrong, it shows. Within a value only TLS can tell.
#[tokio::test(flavor = "multi_thread")]
async fn garbled_frames_end_the_session_and_lose_nothing() -> Result<()> {
    let mut rounds = Rounds::of(4);
    let far = Far::new().await?;
    let relay = far.relay().start().await?;
    for round in rounds.by_ref() {
        // Nothing is on its way, so the next bytes are a type and a length.
        let position = far.scene.database.wal_position().await?;
        far.scene.database.wait_confirmed(position).await?;
        let mark = relay.mark();
        far.proxy.flip_after(Way::Down, round % 2);
        far.insert().await?;
        relay.wait_event_after(mark, "session.lost").await?;
        ensure!(!far.proxy.is_armed(), "nothing was garbled");
        relay.wait_event_after(mark, "slot.streaming").await?;
    }
    far.insert().await?;
    far.expect_perfect(relay).await?;
    rounds.passed("frames garbled");
    Ok(())
}

/// Bytes in a second.
const MEGABIT: u32 = 125_000;
