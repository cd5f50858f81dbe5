//! An order service and a payment service: an event appended in the business transaction, and an
//! effect that happens once.
//!
//! ```text
//! shop order ORDER_ID AMOUNT   place an order, with its event
//! shop pay COUNT               handle messages until COUNT of them are done with
//! ```
//!
//! Addresses come from DATABASE_URL and KAFKA. CONSUMER names the consumer; "payments" by default.

mod order;
mod pay;

use std::env;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, NoTls};

/// The payload: what the order service promises to its readers.
#[derive(Debug, Serialize, Deserialize)]
struct OrderPlaced {
    order: String,
    amount: i32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["order", order, amount] => {
            let placed = OrderPlaced { order: order.to_owned(), amount: amount.parse()? };
            order::place(&mut connect().await?, &placed).await
        }
        ["pay", count] => pay::run(connect().await?, count.parse()?).await,
        _ => bail!("usage: shop order ORDER_ID AMOUNT | shop pay COUNT"),
    }
}

async fn connect() -> Result<Client> {
    let url = env::var("DATABASE_URL").context("DATABASE_URL")?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
