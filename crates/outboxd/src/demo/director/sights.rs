//! What the director waits for.

use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use outboxd_relay::dead_letters::operator::{Letter, Operator, Selection};
use tokio::time::{Instant, sleep, timeout};

use super::{Director, progress};
use crate::demo::reader::STALLED_AFTER;

impl Director<'_> {
    pub(in crate::demo) async fn see_the_gift_parked(&mut self) -> anyhow::Result<()> {
        let letter = self.letter("dead").await?;
        let (key, kind) = (letter.key.unwrap_or_default(), letter.kind);
        let error = letter.error.unwrap_or_default();
        self.story.tell(&format!("{key} is parked in the dead letters: {kind}, {error}"));
        Ok(())
    }

    pub(in crate::demo) async fn see_a_payment_service_die(&mut self) -> anyhow::Result<()> {
        let (mut crashes, shown) = (self.watched.crashes.clone(), self.watched.seen.clone());
        let died = timeout(STALLED_AFTER, crashes.wait_for(|crashes| *crashes > 0));
        let died = self.story.during(|| progress(&shown), self.actors.during(died)).await?;
        died.map(drop).map_err(|_| {
            Stop::new(Code::Internal, "no payment service pays the order that it is to die of")
        })?;
        Ok(())
    }

    pub(in crate::demo) async fn see_all_orders_placed(&mut self) -> anyhow::Result<()> {
        let shown = self.watched.seen.clone();
        let placed = self.actors.all_orders_placed();
        self.story.during(|| progress(&shown), placed).await?;
        self.story.tell("the order service is done");
        Ok(())
    }

    pub(in crate::demo) async fn see_all_published(&mut self) -> anyhow::Result<()> {
        let committed = self.committed;
        let published = self.until(|seen| seen.orders.len() as u64 >= committed).await?;
        self.story.tell(if published { "everything is published" } else { NOTHING_MORE });
        Ok(())
    }

    /// Ends, too, when the payment services get nowhere: then the verdict says so.
    pub(in crate::demo) async fn see_all_consumed(&mut self) -> anyhow::Result<()> {
        let (payments, courier) = (&self.payments, &self.courier);
        let look = async {
            let (mut paid, mut since) = (0, Instant::now());
            while since.elapsed() < STALLED_AFTER {
                if courier.is_all_consumed().await? {
                    return anyhow::Ok(true);
                }
                let row = payments.row(PAID, &[]).await.map_err(Stop::from)?;
                if row.try_get::<_, i64>(0)? != paid {
                    (paid, since) = (row.try_get(0)?, Instant::now());
                }
                sleep(LOOK_AGAIN).await;
            }
            Ok(false)
        };
        let text = || "the payment services work".to_owned();
        let is_all = self.story.during(text, self.actors.during(look)).await??;
        self.story.tell(if is_all { "everything is consumed" } else { NOTHING_MORE });
        Ok(())
    }

    /// Waits for a dead letter in this state.
    pub(super) async fn letter(&mut self, state: &str) -> anyhow::Result<Letter> {
        let relay = self.part.names.run();
        let operator = Operator { session: &self.orders, relay: &relay, by: "outboxd demo" };
        let selection = Selection { state: Some(state.to_owned()), ..Selection::default() };
        let deadline = Instant::now() + STALLED_AFTER;
        let look = async {
            while Instant::now() < deadline {
                if let Some(letter) = operator.list(&selection, 1).await?.pop() {
                    return Ok(letter);
                }
                sleep(LOOK_AGAIN).await;
            }
            let message = format!("no dead letter is {state}");
            Err(Stop::new(Code::Internal, message))
        };
        let shown = self.watched.seen.clone();
        Ok(self.story.during(|| progress(&shown), self.actors.during(look)).await??)
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(200);
const NOTHING_MORE: &str = "nothing more comes";
const PAID: &str = "select count(*) from payment_service.payments";
