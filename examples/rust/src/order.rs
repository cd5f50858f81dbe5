//! The order service.

use anyhow::Result;
use outboxd_client::outbox::{Event, Outbox};
use tokio_postgres::Client;

use crate::OrderPlaced;

/// One transaction: an error on the way drops it, and rolls back both the order and its event.
pub(crate) async fn place(client: &mut Client, order: &OrderPlaced) -> Result<()> {
    let event = Event::new("order", order.order.as_str(), "OrderPlaced").json(order)?;
    let mut transaction = client.transaction().await?;
    let id = Outbox::new().append(&mut transaction, event).await?;
    transaction
        .execute("insert into orders (id, amount) values ($1, $2)", &[&order.order, &order.amount])
        .await?;
    transaction.commit().await?;
    println!("ordered {id}");
    Ok(())
}
