//! The order service: takes the orders of the plan, one wave after the other, and says so.
//!
//! Started again it goes on with what is not there yet.

mod call;

use std::collections::HashSet;
use std::time::Duration;

use outboxd_client::outbox::{Event, Outbox};
use outboxd_relay::control::ControlSession;
use tokio::time::interval;
use tokio_postgres::Transaction;

use self::call::Call;
use super::{Part, Style};
use crate::demo::database::connect;
use crate::demo::event::{EVENT_TYPE, OrderCreated, key};
use crate::demo::plan::{End, Order};

struct OrderService {
    session: ControlSession,
    voice: Voice,
}

/// How it says that there is an order.
enum Voice {
    /// With a row, in the order's own transaction.
    Outbox(Box<Outbox>),
    /// By calling Kafka.
    Call(Call),
}

pub(super) async fn serve(part: &Part) -> anyhow::Result<()> {
    let voice = match part.style {
        Style::Outbox => Voice::Outbox(Box::new(Outbox::new())),
        Style::Naive => Voice::Call(Call::new(part)?),
    };
    let mut service = OrderService { session: connect(&part.url).await?, voice };
    let placed = service.placed().await?;
    let is_open = |order: &&Order| !placed.contains(&order.number);
    let mut clock = interval(BETWEEN_WAVES);
    for wave in part.plan().waves() {
        if wave.iter().filter(is_open).any(|order| order.end == End::Committed) {
            clock.tick().await;
        }
        for order in wave.iter().filter(is_open) {
            service.take(order).await?;
        }
    }
    service.voice.finish().await;
    Ok(())
}

impl OrderService {
    /// One order, one transaction.
    async fn take(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut transaction = self.session.client_mut().transaction().await?;
        if order.end == End::RolledBackToSavepoint {
            let mut savepoint = transaction.transaction().await?;
            self.voice.place(&mut savepoint, order).await?;
            savepoint.rollback().await?;
            transaction.execute(REFUSE, &[&order.number]).await?;
            return Ok(transaction.commit().await?);
        }
        self.voice.place(&mut transaction, order).await?;
        match order.end {
            End::Committed => transaction.commit().await?,
            _ => transaction.rollback().await?,
        }
        self.voice.transaction_ended(order);
        Ok(())
    }

    async fn placed(&self) -> anyhow::Result<HashSet<i64>> {
        let rows = self.session.rows(PLACED, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

impl Voice {
    async fn place(
        &mut self,
        transaction: &mut Transaction<'_>,
        order: &Order,
    ) -> anyhow::Result<()> {
        let Order { number, customer, cents, kind, .. } = order;
        let kind = kind.aggregate_type();
        transaction.execute(PLACE, &[number, customer, cents, &kind]).await?;
        match self {
            Self::Outbox(outbox) => {
                let event = Event::new(kind, key(*number), EVENT_TYPE);
                outbox.append(transaction, event.json(&OrderCreated::of(order))?).await?;
            }
            Self::Call(call) if order.is_told_early => call.tell(order)?,
            Self::Call(_) => {}
        }
        Ok(())
    }

    fn transaction_ended(&mut self, order: &Order) {
        if let Self::Call(call) = self
            && order.end == End::Committed
            && !order.is_told_early
            && let Err(error) = call.tell(order)
        {
            tracing::warn!(%error, order = order.number, "Kafka was not told");
        }
    }

    async fn finish(self) {
        if let Self::Call(call) = self {
            call.finish().await;
        }
    }
}

const PLACED: &str = "select number from order_service.orders";
const PLACE: &str = "
    insert into order_service.orders (number, customer, cents, kind) values ($1, $2, $3, $4)";
const REFUSE: &str = "insert into order_service.refusals (order_number) values ($1)";

/// Orders come in while the broker is away, and when it is back.
const BETWEEN_WAVES: Duration = Duration::from_secs(1);
