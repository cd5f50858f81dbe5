//! What an append costs a service, next to a bare insert of the same row.
//!
//! Both go through the same connection of the same driver, one after the other in each pair, each in
//! a transaction of its own. What counts is the call: for an append from the event's making to the
//! server's answer, for the bare insert the execution of a statement that was prepared before, of a
//! payload that was encoded before. Begin and commit are the same for both and not counted.

mod drivers;

use std::time::{Duration, Instant};

use anyhow::Context;
use outboxd_client::outbox::{Event, Outbox};
use serde::Serialize;

use self::drivers::{Deadpool, Driver, Plain, Prepared, Sqlx};
use super::figures::{self, Quantiles};
use super::server::{DATABASE, Server};
use super::table::Table;
use crate::cmd::bench::BenchArgs;

/// One driver in one round.
#[derive(Debug, Serialize)]
pub(crate) struct Append {
    driver: &'static str,
    append: Quantiles,
    bare: Quantiles,
}

pub(crate) async fn measure(server: &Server, args: &BenchArgs) -> anyhow::Result<Vec<Append>> {
    server.sql.batch_execute(include_str!("append.sql")).await?;
    let mut measured = Vec::new();
    for round in 1..=args.rounds.get() {
        eprintln!("bench: append: round {round} of {}", args.rounds);
        let pairs = (PAIRS * args.rows_scale) as u32;
        measured.push(pairs_of::<Plain>(server, pairs).await?);
        measured.push(pairs_of::<Prepared>(server, pairs).await?);
        measured.push(pairs_of::<Deadpool>(server, pairs).await?);
        measured.push(pairs_of::<Sqlx>(server, pairs).await?);
    }
    Ok(measured)
}

async fn pairs_of<D: Driver>(server: &Server, pairs: u32) -> anyhow::Result<Append> {
    let mut driver = D::open(&server.postgres.url(DATABASE)).await?;
    let outbox = Outbox::new().table(TABLE)?;
    let (mut appends, mut bares) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + pairs {
        let order = Order::numbered(number);
        let payload = serde_json::to_string(&order)?;
        let (append, bare);
        // Neither is always the first.
        if number % 2 == 0 {
            append = driver.append(&outbox, &order).await?;
            bare = driver.bare(&order, &payload).await?;
        } else {
            bare = driver.bare(&order, &payload).await?;
            append = driver.append(&outbox, &order).await?;
        }
        if number >= WARM_UP {
            appends.push(ms(append));
            bares.push(ms(bare));
        }
    }
    let quantiles = |times| Quantiles::of(times).context("no pair was measured");
    Ok(Append { driver: D::NAME, append: quantiles(appends)?, bare: quantiles(bares)? })
}

/// As large as the rows of the backlogs.
#[derive(Debug, Serialize)]
struct Order {
    number: u32,
    customer: String,
    total: f64,
    currency: &'static str,
    street: &'static str,
    note: String,
}

impl Order {
    fn numbered(number: u32) -> Self {
        Self {
            number,
            customer: format!("customer-{:04}", number % 10_000),
            total: f64::from(number % 1_000) + 0.25,
            currency: "EUR",
            street: "12 Some Quiet Lane, 34567 Anytown",
            note: "x".repeat(140),
        }
    }

    fn event(&self) -> anyhow::Result<Event> {
        Ok(Event::new(AGGREGATE_TYPE, &self.customer, EVENT_TYPE).json(self)?)
    }
}

/// Times one call.
async fn timed<T>(call: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    call.await?;
    Ok(begun.elapsed())
}

pub(crate) fn table(measured: &[Append]) -> Table {
    let mut table = Table::new("Append in µs (min / median / max)", HEAD);
    for name in [Plain::NAME, Prepared::NAME, Deadpool::NAME, Sqlx::NAME] {
        let rounds: Vec<&Append> = measured.iter().filter(|round| round.driver == name).collect();
        let cell = |value: &dyn Fn(&Append) -> f64, decimals| {
            figures::cell(rounds.iter().map(|round| value(round)), decimals)
        };
        table.row([
            name.to_owned(),
            cell(&|round| round.append.p50 * 1e3, 0),
            cell(&|round| round.append.p99 * 1e3, 0),
            cell(&|round| round.bare.p50 * 1e3, 0),
            cell(&|round| round.bare.p99 * 1e3, 0),
            cell(&|round| round.append.p50 / round.bare.p50, 2),
        ]);
    }
    table
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const HEAD: &[&str] =
    &["driver", "append p50", "append p99", "bare insert p50", "bare insert p99", "p50 × bare"];
const TABLE: &str = "services.events";
const AGGREGATE_TYPE: &str = "Order";
const EVENT_TYPE: &str = "OrderPlaced";
/// Enough for caches and branch predictors, and for sqlx and deadpool to remember the statements.
const WARM_UP: u32 = 500;
const PAIRS: f64 = 5_000.0;
