//! The task that works on the table.

use outboxd_core::relay::Replayed;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Duration, Instant, sleep_until};
use tokio_postgres::types::Type;

use super::sql::Owner;
use super::{CHANNEL, News, Opening, Order};
use crate::control::{ControlError, ControlSession};
use crate::error_chain;

pub(super) struct Desk {
    orders: UnboundedReceiver<Order>,
    news: UnboundedSender<News>,
    /// A row is with the relay; its outcome comes as an order.
    replaying: bool,
}

impl Desk {
    pub(super) fn new(orders: UnboundedReceiver<Order>, news: UnboundedSender<News>) -> Self {
        Self { orders, news, replaying: false }
    }

    pub(super) async fn run(mut self, opening: Opening) {
        match self.work(opening).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => self.tell(News::Failed(error_chain(&error))),
            Err(error) => self.tell(News::Stop(error.into())),
        }
    }

    /// Ends without an error only where there is nothing to do.
    async fn work(&mut self, opening: Opening) -> Result<(), ControlError> {
        let Opening { params, name, acquisition, from, unrecorded } = opening;
        let mut session = ControlSession::connect(&params).await?;
        if !exists(&session).await? {
            self.tell(News::Loaded(None));
            return Ok(());
        }
        let owner = Owner { name, acquisition: i64::try_from(acquisition).unwrap_or(i64::MAX) };
        session.run(&format!("listen {CHANNEL}")).await?;
        owner.take_over(&session).await?;
        for (id, outcome) in unrecorded {
            owner.record(&session, id, &outcome).await?;
            self.tell(News::Recorded(id));
        }
        owner.resolve_discarded(&session).await?;
        self.tell(News::Loaded(Some(owner.load(&session, from).await?)));
        self.serve(&mut session, &owner).await
    }

    async fn serve(
        &mut self,
        session: &mut ControlSession,
        owner: &Owner,
    ) -> Result<(), ControlError> {
        let mut look_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.carry_out(session, owner, order, &mut look_at).await?,
                    None => return Ok(()),
                },
                noticed = session.noticed() => match noticed {
                    true => look_at = Instant::now(),
                    false => return Err(ControlError::closed()),
                },
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + LOOK_EVERY;
                    self.look(session, owner).await?;
                }
            }
        }
    }

    async fn carry_out(
        &mut self,
        session: &ControlSession,
        owner: &Owner,
        order: Order,
        look_at: &mut Instant,
    ) -> Result<(), ControlError> {
        let mut next = Some(order);
        let mut parcels = Vec::new();
        while let Some(order) = next.take() {
            match order {
                Order::Park(parcel) => parcels.push(*parcel),
                Order::Record(id, outcome) => {
                    self.record(session, owner, id, &outcome).await?;
                    let wait = if outcome == Replayed::Later { LATER } else { Duration::ZERO };
                    *look_at = Instant::now() + wait;
                }
            }
            if parcels.len() < BATCH_MAX {
                // Without another one the batch is complete; whether there will be any shows later.
                next = self.orders.try_recv().ok();
            }
        }
        if !parcels.is_empty() {
            owner.park(session, &parcels).await?;
            self.tell(News::Parked(parcels.iter().map(|parcel| parcel.token).collect()));
        }
        Ok(())
    }

    async fn record(
        &mut self,
        session: &ControlSession,
        owner: &Owner,
        id: i64,
        outcome: &Replayed,
    ) -> Result<(), ControlError> {
        self.replaying = false;
        let resolved = owner.record(session, id, outcome).await?;
        if *outcome != Replayed::Later {
            self.tell(News::Recorded(id));
        }
        self.tell(News::Resolved(resolved.into_iter().collect()));
        Ok(())
    }

    /// Whether an operator wants something.
    async fn look(&mut self, session: &ControlSession, owner: &Owner) -> Result<(), ControlError> {
        let resolved = owner.resolve_discarded(session).await?;
        self.tell(News::Resolved(resolved));
        if !self.replaying
            && let Some(replay) = owner.next_replay(session).await?
        {
            self.replaying = true;
            self.tell(News::Replay(Box::new(replay)));
        }
        Ok(())
    }

    fn tell(&self, news: News) {
        // A relay that does not listen any more has dropped us.
        let _ = self.news.send(news);
    }
}

/// Whether this database has dead letters.
pub(crate) async fn exists(session: &ControlSession) -> Result<bool, ControlError> {
    let table = "outbox.dead_letters";
    let row = session.row("select to_regclass($1) is not null", &[(&table, Type::TEXT)]).await?;
    Ok(row.try_get(0)?)
}

/// What an operator does is noticed by NOTIFY; a look without one finds what was missed.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A topic that was not available may be by then.
const LATER: Duration = Duration::from_secs(1);
const BATCH_MAX: usize = 100;
