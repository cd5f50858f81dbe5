//! What the director does to the others, and mends again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Director, order_service};
use crate::demo::process::command;
use crate::demo::relay::Relay;
use crate::demo::table::grouped;

impl Director<'_> {
    /// SIGKILL, and a new one.
    pub(in crate::demo) async fn kill_relay(&mut self) -> anyhow::Result<()> {
        let Some(relay) = &mut self.actors.relay else { return Ok(()) };
        relay.process.kill().await?;
        self.story.tell(&format!("kill -9 {}: the relay is dead", relay.process.pid()));
        *relay = Relay::start(&self.configuration).await?;
        self.chaos.relay_kills += 1;
        self.chaos.repeats_max += relay.repeats_max;
        self.story.tell(&format!(
            "a new relay streams (process {}): at most {} events may repeat",
            relay.process.pid(),
            relay.repeats_max
        ));
        Ok(())
    }

    /// At the first record after now.
    pub(in crate::demo) async fn kill_relay_while_it_catches_up(&mut self) -> anyhow::Result<()> {
        let before = self.watched.seen.borrow().records.len();
        self.until(|seen| seen.records.len() > before).await?;
        self.kill_relay().await
    }

    /// Where there is no relay, it is the order service that can die before it has told Kafka.
    pub(in crate::demo) async fn kill_order_service(&mut self) -> anyhow::Result<()> {
        let service = &mut self.actors.order_service;
        service.kill().await?;
        self.chaos.order_service_kills += 1;
        self.story.tell(&format!("kill -9 {}: the order service is dead", service.pid()));
        *service = order_service(&self.part).await?;
        let pid = service.pid();
        self.story.tell(&format!("the order service goes on (process {pid})"));
        Ok(())
    }

    pub(in crate::demo) async fn deliver_again(&mut self) -> anyhow::Result<()> {
        let records = self.watched.seen.borrow().records.clone();
        let copies = self.courier.deliver_again(&records, &self.repeated).await?;
        if copies > 0 {
            self.story.tell(&format!("{} records are delivered a second time", grouped(copies)));
        }
        Ok(())
    }

    /// False for brokers that are not ours to stop.
    pub(in crate::demo) async fn stop_broker_for_a_while(&mut self) -> anyhow::Result<bool> {
        if !self.broker.can_be_stopped() {
            self.story.tell("the broker is yours: it is not stopped");
            return Ok(false);
        }
        self.broker.stop().await?;
        let outage = OUTAGE.as_secs();
        self.story.tell(&format!("the broker is stopped for {outage} s; orders still come in"));
        let until = Instant::now() + OUTAGE;
        let left = || {
            let left = until.saturating_duration_since(Instant::now()).as_secs_f64();
            format!("the broker is away for another {left:.0} s")
        };
        self.story.during(left, self.actors.during(sleep(OUTAGE))).await?;
        self.broker.start_again().await?;
        self.chaos.broker_outages += 1;
        self.story.tell("the broker is back");
        Ok(true)
    }

    pub(in crate::demo) async fn mend_the_topic_of_the_gifts(&mut self) -> anyhow::Result<()> {
        self.broker.accept_gifts(&self.part.names).await?;
        self.story.tell("the topic of the gifts is mended");
        Ok(())
    }

    /// As an operator would.
    pub(in crate::demo) async fn retry_the_gift(&mut self) -> anyhow::Result<()> {
        let arguments = ["dlq", "retry", "--all", "--note", "the topic is mended"];
        self.actors.during(command(&arguments, &self.configuration)).await??;
        self.story.tell("outboxd dlq retry --all");
        let letter = self.letter("published").await?;
        let key = letter.key.unwrap_or_default();
        self.story.tell(&format!("{key} is published after all"));
        Ok(())
    }
}

const OUTAGE: Duration = Duration::from_secs(10);
