//! Brings the faults about, one after the other, each at a moment when it hurts.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use outboxd_core::stop::{Code, Stop};
use outboxd_relay::control::ControlSession;
use outboxd_relay::dead_letters::operator::{Letter, Operator, Selection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::broker::Broker;
use super::courier::Courier;
use super::database::{Databases, connect};
use super::plan::Plan;
use super::process::{Process, command};
use super::reader::{STALLED_AFTER, Seen, reach};
use super::relay::Relay;
use super::service::{Part, Style};
use super::story::Story;
use super::table::grouped;
use super::verdict::Chaos;

pub(super) struct Director<'a> {
    story: &'a Story,
    broker: &'a mut Broker,
    /// Of the order service, whenever it is started.
    part: Part,
    configuration: BTreeMap<String, String>,
    actors: Actors,
    watched: Watched,
    courier: Courier,
    /// Orders whose events are to be delivered again.
    repeated: HashSet<i64>,
    committed: u64,
    orders: ControlSession,
    payments: ControlSession,
    chaos: Chaos,
}

/// What goes on elsewhere.
pub(super) struct Watched {
    pub(super) seen: watch::Receiver<Seen>,
    pub(super) crashes: watch::Receiver<u64>,
}

/// The processes that must not end by themselves.
struct Actors {
    /// `None`: there is none in this play.
    relay: Option<Relay>,
    order_service: Process,
}

impl Actors {
    /// Does something while none of them fails.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let relay = async {
            match &mut self.relay {
                Some(relay) => relay.process.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            stop = relay => Err(stop),
            stop = self.order_service.failed() => Err(stop),
        }
    }
}

impl<'a> Director<'a> {
    /// Starts the relay and the order service.
    pub(super) async fn begin(
        part: Part,
        plan: &Plan,
        databases: &Databases,
        broker: &'a mut Broker,
        watched: Watched,
        story: &'a Story,
    ) -> anyhow::Result<Self> {
        let configuration = part.names.configuration(&part.url, &part.bootstrap);
        let relay = match part.style {
            Style::Outbox => Some(first_relay(&configuration, story).await?),
            Style::Naive => None,
        };
        let order_service = order_service(&part).await?;
        let (all, pid) = (grouped(plan.orders.len() as u64), order_service.pid());
        story.tell(&format!("the order service takes {all} orders, in waves (process {pid})"));
        let repeated = plan.orders.iter().filter(|order| order.is_repeated);
        Ok(Self {
            story,
            broker,
            configuration,
            actors: Actors { relay, order_service },
            watched,
            courier: Courier::new(&part.bootstrap, &part.names)?,
            repeated: repeated.map(|order| order.number).collect(),
            committed: plan.committed().count() as u64,
            orders: connect(&databases.orders_url).await?,
            payments: connect(&databases.payments_url).await?,
            part,
            chaos: Chaos::default(),
        })
    }

    /// Ends what is not needed any more.
    pub(super) async fn end(mut self) -> anyhow::Result<Chaos> {
        if let Some(relay) = self.actors.relay.take() {
            let stopping = || "stopping the relay with SIGTERM".to_owned();
            self.story.during(stopping, relay.process.stop()).await?;
        }
        self.chaos.copies_delivered = self.courier.count();
        self.chaos.payment_service_crashes = *self.watched.crashes.borrow();
        Ok(self.chaos)
    }

    /// Until what is read is enough; false when nothing new comes for long.
    pub(super) async fn until(&mut self, is_enough: impl Fn(&Seen) -> bool) -> Result<bool, Stop> {
        let mut seen = self.watched.seen.clone();
        let shown = self.watched.seen.clone();
        let work = self.actors.during(reach(&mut seen, is_enough));
        self.story.during(|| progress(&shown), work).await
    }

    /// SIGKILL, and a new one.
    pub(super) async fn kill_relay(&mut self) -> anyhow::Result<()> {
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
    pub(super) async fn kill_relay_while_it_catches_up(&mut self) -> anyhow::Result<()> {
        let before = self.watched.seen.borrow().records.len();
        self.until(|seen| seen.records.len() > before).await?;
        self.kill_relay().await
    }

    /// Where there is no relay, it is the order service that can die before it has told Kafka.
    pub(super) async fn kill_order_service(&mut self) -> anyhow::Result<()> {
        let service = &mut self.actors.order_service;
        service.kill().await?;
        self.chaos.order_service_kills += 1;
        self.story.tell(&format!("kill -9 {}: the order service is dead", service.pid()));
        *service = order_service(&self.part).await?;
        let pid = service.pid();
        self.story.tell(&format!("the order service goes on (process {pid})"));
        Ok(())
    }

    pub(super) async fn deliver_again(&mut self) -> anyhow::Result<()> {
        let records = self.watched.seen.borrow().records.clone();
        let copies = self.courier.deliver_again(&records, &self.repeated).await?;
        if copies > 0 {
            self.story.tell(&format!("{} records are delivered a second time", grouped(copies)));
        }
        Ok(())
    }

    pub(super) async fn see_the_gift_parked(&mut self) -> anyhow::Result<()> {
        let letter = self.letter("dead").await?;
        let (key, kind) = (letter.key.unwrap_or_default(), letter.kind);
        let error = letter.error.unwrap_or_default();
        self.story.tell(&format!("{key} is parked in the dead letters: {kind}, {error}"));
        Ok(())
    }

    pub(super) async fn see_a_payment_service_die(&mut self) -> anyhow::Result<()> {
        let (mut crashes, shown) = (self.watched.crashes.clone(), self.watched.seen.clone());
        let died = timeout(STALLED_AFTER, crashes.wait_for(|crashes| *crashes > 0));
        let died = self.story.during(|| progress(&shown), self.actors.during(died)).await?;
        died.map(drop).map_err(|_| {
            Stop::new(Code::Internal, "no payment service pays the order that it is to die of")
        })?;
        Ok(())
    }

    /// False for brokers that are not ours to stop.
    pub(super) async fn stop_broker_for_a_while(&mut self) -> anyhow::Result<bool> {
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

    pub(super) async fn mend_the_topic_of_the_gifts(&mut self) -> anyhow::Result<()> {
        self.broker.accept_gifts(&self.part.names).await?;
        self.story.tell("the topic of the gifts is mended");
        Ok(())
    }

    /// As an operator would.
    pub(super) async fn retry_the_gift(&mut self) -> anyhow::Result<()> {
        let arguments = ["dlq", "retry", "--all", "--note", "the topic is mended"];
        self.actors.during(command(&arguments, &self.configuration)).await??;
        self.story.tell("outboxd dlq retry --all");
        let letter = self.letter("published").await?;
        let key = letter.key.unwrap_or_default();
        self.story.tell(&format!("{key} is published after all"));
        Ok(())
    }

    pub(super) async fn see_all_orders_placed(&mut self) -> anyhow::Result<()> {
        let shown = self.watched.seen.clone();
        let relay = async {
            match &mut self.actors.relay {
                Some(relay) => relay.process.failed().await,
                None => std::future::pending().await,
            }
        };
        let order_service = &mut self.actors.order_service;
        let placed = async {
            tokio::select! {
                status = order_service.status() => status,
                stop = relay => Err(stop.into()),
            }
        };
        let status = self.story.during(|| progress(&shown), placed).await?;
        anyhow::ensure!(status == 0, self.actors.order_service.ended());
        self.story.tell("the order service is done");
        Ok(())
    }

    pub(super) async fn see_all_published(&mut self) -> anyhow::Result<()> {
        let committed = self.committed;
        let published = self.until(|seen| seen.orders.len() as u64 >= committed).await?;
        self.story.tell(if published { "everything is published" } else { NOTHING_MORE });
        Ok(())
    }

    /// Ends, too, when the payment services get nowhere: then the verdict says so.
    pub(super) async fn see_all_consumed(&mut self) -> anyhow::Result<()> {
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
    async fn letter(&mut self, state: &str) -> anyhow::Result<Letter> {
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

async fn first_relay(
    configuration: &BTreeMap<String, String>,
    story: &Story,
) -> anyhow::Result<Relay> {
    let start = Relay::start(configuration);
    let relay = story.during(|| "starting the relay".to_owned(), start).await?;
    story.tell(&format!("the relay streams (process {})", relay.process.pid()));
    Ok(relay)
}

async fn order_service(part: &Part) -> anyhow::Result<Process> {
    let variables = part.variables()?;
    Process::start("the order service", &["demo-service", "orders"], &variables).await
}

fn progress(seen: &watch::Receiver<Seen>) -> String {
    format!("events of {} orders are in Kafka", grouped(seen.borrow().orders.len() as u64))
}

const OUTAGE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const NOTHING_MORE: &str = "nothing more comes";
const PAID: &str = "select count(*) from payment_service.payments";
