//! What the databases and the topics hold in the end. None of it comes from those who acted.

use outboxd_core::stop::Stop;
use outboxd_relay::control::ControlSession;
use tokio_postgres::Row;

use super::database::{Databases, connect};
use super::event::key;
use super::plan::Kind;
use super::reader::Record;

pub(super) struct Evidence {
    pub(super) orders: Vec<Placed>,
    /// Of one partition in their order there.
    pub(super) records: Vec<Record>,
    pub(super) payments: Vec<Payment>,
    pub(super) letters: Vec<DeadLetter>,
    /// How often the payment provider would still refuse.
    pub(super) failures_left: i64,
}

/// An order that is in the order service's database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Placed {
    pub(super) number: i64,
    pub(super) customer: String,
    pub(super) cents: i64,
    pub(super) kind: Kind,
}

/// A payment that is in the payment service's database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Payment {
    pub(super) order: i64,
    pub(super) customer: String,
    pub(super) cents: i64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DeadLetter {
    /// Of the record.
    pub(super) key: String,
    pub(super) is_published: bool,
}

impl Evidence {
    pub(super) async fn gather(
        databases: &Databases,
        records: Vec<Record>,
    ) -> anyhow::Result<Self> {
        let orders = connect(&databases.orders_url).await?;
        let payments = connect(&databases.payments_url).await?;
        let left = payments.row(FAILURES_LEFT, &[]).await.map_err(Stop::from)?;
        Ok(Self {
            orders: all(&orders, ORDERS, placed).await?,
            records,
            payments: all(&payments, PAYMENTS, payment).await?,
            letters: all(&orders, LETTERS, letter).await?,
            failures_left: left.try_get(0)?,
        })
    }
}

impl DeadLetter {
    pub(super) fn is_of(&self, order: i64) -> bool {
        self.key == key(order)
    }
}

async fn all<T>(
    session: &ControlSession,
    sql: &str,
    read: fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> anyhow::Result<Vec<T>> {
    let rows = session.rows(sql, &[]).await.map_err(Stop::from)?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn placed(row: &Row) -> Result<Placed, tokio_postgres::Error> {
    let kind: &str = row.try_get("kind")?;
    let kind = if kind == Kind::Gift.aggregate_type() { Kind::Gift } else { Kind::Order };
    let (number, customer) = (row.try_get("number")?, row.try_get("customer")?);
    Ok(Placed { number, customer, cents: row.try_get("cents")?, kind })
}

fn payment(row: &Row) -> Result<Payment, tokio_postgres::Error> {
    let (order, customer) = (row.try_get("order_number")?, row.try_get("customer")?);
    Ok(Payment { order, customer, cents: row.try_get("cents")? })
}

fn letter(row: &Row) -> Result<DeadLetter, tokio_postgres::Error> {
    Ok(DeadLetter { key: row.try_get("key")?, is_published: row.try_get("is_published")? })
}

const ORDERS: &str = "select number, customer, cents, kind from order_service.orders";
const PAYMENTS: &str = "select order_number, customer, cents from payment_service.payments";
const LETTERS: &str = "
    select convert_from(key, 'UTF8') as key, state = 'published' as is_published
      from outbox.dead_letters";
const FAILURES_LEFT: &str = "
    select coalesce(sum(remaining), 0) from payment_service.provider_failures";
