//! Brings the faults about, one after the other, each at a moment when it hurts.

mod actors;
mod faults;
mod sights;

use std::collections::{BTreeMap, HashSet};

use outboxd_core::stop::Stop;
use outboxd_relay::control::ControlSession;
use tokio::sync::watch;

use self::actors::Actors;
use super::broker::Broker;
use super::courier::Courier;
use super::database::{Databases, connect};
use super::plan::Plan;
use super::process::Process;
use super::reader::{Seen, reach};
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
