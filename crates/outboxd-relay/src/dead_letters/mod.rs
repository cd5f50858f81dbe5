//! The dead-letter table, written and read beside the stream on a session of its own.
//!
//! It lives as long as the replication session: when either is lost both are, and the core has
//! what was on its way read and parked again. Parcels are committed in batches, in their order.

mod desk;
pub mod operator;
mod sql;

use outboxd_core::headers::Sequence;
use outboxd_core::parking::{Parcel, ParkedRow};
use outboxd_core::record::Token;
use outboxd_core::relay::{Replay, Replayed};
use outboxd_core::stop::Stop;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::desk::Desk;
pub(crate) use self::desk::exists;
pub(crate) use self::sql::Owner;
pub use self::sql::Resolved;
use crate::source::params::ConnectParams;

/// What opens the table.
pub(crate) struct Opening {
    pub(crate) params: ConnectParams,
    pub(crate) name: String,
    pub(crate) acquisition: u64,
    pub(crate) from: Sequence,
    /// What became of rows while there was no session to record it.
    pub(crate) unrecorded: Vec<(i64, Replayed)>,
}

/// The relay's end.
pub(crate) struct DeadLetters {
    orders: mpsc::UnboundedSender<Order>,
    news: mpsc::UnboundedReceiver<News>,
    task: JoinHandle<()>,
}

enum Order {
    Park(Box<Parcel>),
    Record(i64, Replayed),
}

pub(crate) enum News {
    /// `None`: there is no table.
    Loaded(Option<Vec<ParkedRow>>),
    Parked(Vec<Token>),
    Replay(Box<Replay>),
    Resolved(Vec<Resolved>),
    /// The outcome of a replay stands in its row.
    Recorded(i64),
    /// The session is gone.
    Failed(String),
    Stop(Stop),
}

impl DeadLetters {
    /// Takes the table over in the background. The first news is [`News::Loaded`].
    pub(crate) fn open(opening: Opening) -> Self {
        // Bounded by the window: each order is a record in flight, or the answer to a replay.
        let (orders, taken) = mpsc::unbounded_channel();
        let (told, news) = mpsc::unbounded_channel();
        let task = tokio::spawn(Desk::new(taken, told).run(opening));
        Self { orders, news, task }
    }

    pub(crate) fn park(&self, parcel: Box<Parcel>) {
        self.order(Order::Park(parcel));
    }

    pub(crate) fn record(&self, id: i64, outcome: Replayed) {
        self.order(Order::Record(id, outcome));
    }

    fn order(&self, order: Order) {
        // A task that has ended has said why.
        let _ = self.orders.send(order);
    }

    /// Cancel safe.
    pub(crate) async fn news(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }
}

impl Drop for DeadLetters {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who changes a row by hand wakes the relay up on this channel.
pub const CHANNEL: &str = "outboxd_dlq";
