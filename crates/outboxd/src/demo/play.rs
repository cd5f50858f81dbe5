//! The plot: write, kill the relay twice while it works, start it again, wait, compare.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use outboxd_core::stop::{Code, Stop};
use tokio::sync::watch;

use super::reader::{Reader, reach};
use super::relay::Relay;
use super::shop::Shop;
use super::stage::Stage;
use super::table::grouped;
use super::verdict::{Kills, Verdict, judge};
use super::{Options, Story};

pub(super) async fn play(
    stage: &mut Stage,
    options: &Options,
    story: &Story,
) -> anyhow::Result<Verdict> {
    let names = stage.names.clone();
    let (database, broker) = stage.set(options, story).await?;
    let configuration = names.configuration(&database.url, &broker.bootstrap());
    let reader = Reader::start(&broker.bootstrap(), &names)?;
    let shop = Shop::open(database, &names, options.orders).await?;
    let director = Director { configuration, seen: reader.seen(), story };

    let relay = director.first_relay().await?;
    let (orders, events) = (grouped(options.orders.into()), shop.events());
    story.tell(&format!("{orders} orders are coming in, with {} events", grouped(events)));
    let (committed, seen) = (shop.committed(), reader.seen());
    let counts = || {
        let (committed, seen) = (committed.load(Ordering::Relaxed), *seen.borrow());
        format!("{} events committed, {} read back", grouped(committed), grouped(seen))
    };
    let acts = async { tokio::try_join!(shop.trade(), director.kill_on_the_way(relay, events)) };
    let (ledger, (mut relay, kills)) = story.during(counts, acts).await?;

    let all = ledger.committed.len() as u64;
    let arrived = story.during(counts, director.wait_for(&mut relay, all)).await?;
    story.tell(if arrived { "everything has arrived" } else { "nothing more arrives" });
    story.during(|| "stopping the relay with SIGTERM".to_owned(), relay.stop()).await?;
    let reads = story.during(counts, reader.finish()).await?;
    story.tell("every topic is read to its end");
    Ok(judge(&names, &ledger, &reads, kills))
}

/// Starts and kills relays.
struct Director<'a> {
    configuration: BTreeMap<String, String>,
    seen: watch::Receiver<u64>,
    story: &'a Story,
}

impl Director<'_> {
    async fn first_relay(&self) -> anyhow::Result<Relay> {
        let start = async {
            let mut relay = Relay::start(&self.configuration).await?;
            relay.streaming().await?;
            anyhow::Ok(relay)
        };
        let relay = self.story.during(|| "starting the relay".to_owned(), start).await?;
        self.story.tell(&format!("the relay streams (process {})", relay.pid()));
        Ok(relay)
    }

    /// Kills it each time another part of the events has been read, and starts it again.
    async fn kill_on_the_way(
        &self,
        mut relay: Relay,
        events: u64,
    ) -> anyhow::Result<(Relay, Kills)> {
        let mut kills = Kills::default();
        for part in 1..=KILLS {
            if !self.wait_for(&mut relay, events * part / (KILLS + 1)).await? {
                let message = "the relay publishes nothing any more";
                return Err(Stop::new(Code::Internal, message).detail(relay.log_tail()).into());
            }
            let pid = relay.pid();
            relay.kill().await?;
            self.story.tell(&format!("kill -9 {pid}: the relay is dead"));
            relay = Relay::start(&self.configuration).await?;
            let repeats_max = relay.streaming().await?;
            kills.count += 1;
            kills.repeats_max += repeats_max;
            self.story.tell(&format!(
                "a new relay streams (process {}): at most {repeats_max} events may repeat",
                relay.pid()
            ));
        }
        Ok((relay, kills))
    }

    /// Until so many different events were read; false when nothing new comes for long.
    async fn wait_for(&self, relay: &mut Relay, count: u64) -> Result<bool, Stop> {
        let mut seen = self.seen.clone();
        tokio::select! {
            arrived = reach(&mut seen, count) => Ok(arrived),
            stop = relay.failed() => Err(stop),
        }
    }
}

const KILLS: u64 = 2;
