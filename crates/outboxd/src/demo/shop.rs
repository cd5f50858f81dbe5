//! The shop: places orders, takes payments, ships. Each step is one transaction that changes the
//! business tables and inserts the events about it, and some steps fail on purpose.

mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use outboxd_core::stop::Stop;
use tokio::task::JoinSet;
use tokio::time::interval;

use self::transaction::{Desk, Transaction};
use super::database::Database;
use super::event::Ledger;
use super::names::Names;

pub(super) struct Shop {
    orders: u32,
    writers: Vec<Writer>,
    committed: Arc<AtomicU64>,
}

impl Shop {
    /// Opens a session for each writer.
    pub(super) async fn open(
        database: &Database,
        names: &Names,
        orders: u32,
    ) -> Result<Self, Stop> {
        let committed = Arc::new(AtomicU64::new(0));
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            let desk = Desk { session: database.session().await?, names: names.clone() };
            let books = Books { ledger: Ledger::default(), committed: Arc::clone(&committed) };
            writers.push(Writer { desk, books });
        }
        Ok(Self { orders, writers, committed })
    }

    /// How many events will be committed in the end.
    pub(super) fn events(&self) -> u64 {
        (1..=self.orders).map(|order| if is_declined(order) { 3 } else { 5 }).sum()
    }

    /// How many events are committed so far.
    pub(super) fn committed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.committed)
    }

    /// Writes all orders, several at once.
    pub(super) async fn trade(self) -> anyhow::Result<Ledger> {
        let mut tasks = JoinSet::new();
        for (first, writer) in (1_u32..).zip(self.writers) {
            tasks.spawn(writer.work(first, self.orders));
        }
        let mut ledger = Ledger::default();
        while let Some(written) = tasks.join_next().await {
            ledger.append(written.context("a writer is gone")??);
        }
        Ok(ledger)
    }
}

struct Writer {
    desk: Desk,
    books: Books,
}

/// What became of the events of one writer.
struct Books {
    ledger: Ledger,
    /// Of all writers.
    committed: Arc<AtomicU64>,
}

impl Writer {
    /// Every order is written by one writer; the customers' accounts belong to all of them.
    async fn work(mut self, first: u32, orders: u32) -> Result<Ledger, Stop> {
        let mut pace = interval(PACE);
        for number in (first..=orders).step_by(WRITERS) {
            pace.tick().await;
            let order = Order::new(number);
            self.place(&order).await?;
            if is_declined(number) {
                self.cancel(&order).await?;
            } else {
                self.take_payment(&order).await?;
                self.ship(&order).await?;
            }
        }
        Ok(self.books.ledger)
    }

    /// Two events of one aggregate in one transaction; now and then a third one between them that
    /// is taken back, while the rest stays.
    async fn place(&mut self, order: &Order) -> Result<(), Stop> {
        let mut transaction = self.desk.begin().await?;
        transaction.insert_order(order).await?;
        transaction.order_event(order, "placed", "OrderPlaced").await?;
        if wants_invalid_coupon(order) {
            transaction.savepoint().await?;
            transaction.order_event(order, "discounted", "CouponApplied").await?;
            let taken_back = transaction.rollback_to_savepoint().await?;
            self.books.ledger.rolled_back.extend(taken_back);
        }
        transaction.order_event(order, "payable", "PaymentRequested").await?;
        self.books.commit(transaction).await
    }

    /// Events of two aggregates, and so of two topics, in one transaction.
    async fn take_payment(&mut self, order: &Order) -> Result<(), Stop> {
        let paid = self.desk.pay(order).await?;
        self.books.commit(paid).await
    }

    /// The payment is declined after all was written: the whole transaction is rolled back.
    async fn cancel(&mut self, order: &Order) -> Result<(), Stop> {
        let taken_back = self.desk.pay(order).await?.rollback().await?;
        self.books.ledger.rolled_back.extend(taken_back);
        let mut transaction = self.desk.begin().await?;
        transaction.order_event(order, "cancelled", "OrderCancelled").await?;
        self.books.commit(transaction).await
    }

    async fn ship(&mut self, order: &Order) -> Result<(), Stop> {
        let mut transaction = self.desk.begin().await?;
        transaction.order_event(order, "shipped", "OrderShipped").await?;
        self.books.commit(transaction).await
    }
}

impl Desk {
    /// Not committed yet.
    async fn pay(&self, order: &Order) -> Result<Transaction<'_>, Stop> {
        let mut transaction = self.begin().await?;
        transaction.payment_event(order, "PaymentCaptured").await?;
        transaction.order_event(order, "paid", "OrderPaid").await?;
        Ok(transaction)
    }
}

impl Books {
    async fn commit(&mut self, transaction: Transaction<'_>) -> Result<(), Stop> {
        let events = transaction.commit().await?;
        self.committed.fetch_add(events.len() as u64, Ordering::Relaxed);
        self.ledger.committed.extend(events);
        Ok(())
    }
}

/// What a customer wants.
struct Order {
    number: i64,
    customer: String,
    cents: i64,
}

impl Order {
    fn new(number: u32) -> Self {
        let customer = format!("customer-{}", number % CUSTOMERS);
        let number = i64::from(number);
        Self { number, customer, cents: 999 + number % 500 * 10 }
    }
}

fn is_declined(number: u32) -> bool {
    number % 7 == 1
}

fn wants_invalid_coupon(order: &Order) -> bool {
    order.number % 5 == 1
}

const WRITERS: usize = 4;
/// As many as the schema makes: few, so that the writers meet at their accounts.
const CUSTOMERS: u32 = 10;
/// Between two orders of a writer. With 200 orders a second the relay is never without work.
const PACE: Duration = Duration::from_millis(20);
